//go:build race

package main

// raceDetector makes processes use several times as much memory and time.
const raceDetector = true
