//go:build !race

package testenv

// RaceDetector is whether the race detector is on, with which everything takes several
// times as much time and memory.
const RaceDetector = false
