// Package release makes a release of the working tree as internal/release does, publishes it in a
// module proxy that is a folder, and uses each module from there as a stranger does.
package release
