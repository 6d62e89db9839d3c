// Package identity holds the words that every other package of the kit shares:
// what a [Provider] is, the [Status] of a verification, the [Verification]
// itself, and the [Notice] in which a provider tells that something is known.
//
// It knows no provider, no HTTP route and no store, and has no dependencies but the
// standard library.
package identity
