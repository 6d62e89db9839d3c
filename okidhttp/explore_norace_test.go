//go:build !race

package okidhttp

const (
	// exploreBound is how much befalls the processes in one schedule, at most.
	exploreBound = 3
	// defaultWalks is how many random walks are taken unless somebody says otherwise.
	defaultWalks = 1500
	// plantsBugs is whether the walks have to find what is planted.
	plantsBugs = true
)
