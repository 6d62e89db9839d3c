//go:build !race

package okidhttp

// exploreBound is how much befalls the processes in one schedule, at most.
const exploreBound = 3
