//go:build race

package okidhttp

// exploreBound is less with the race detector, which makes each step ten times as
// slow.
const exploreBound = 2
