// Package model is a second implementation of the rules, to hold the first one against. It
// is dumb on purpose: a book of cells, legality.txt, loops over every step, and a status for
// every target copied for every attempt. It uses packages step and operation for their names
// only and shares nothing that decides with them or with the engine, so an error is unlikely to
// stand in both.
package model
