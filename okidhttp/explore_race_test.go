//go:build race

package okidhttp

// All is less with the race detector, which makes each step ten times as slow.
const (
	exploreBound = 2
	defaultWalks = 150
	plantsBugs   = false
)
