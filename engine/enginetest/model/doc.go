// Package model is a second implementation of the rules, an oracle for tests of the first one. It
// is dumb on purpose: a book of cells, legality.txt, loops over every step, and a copy of every
// target's status for every attempt. It uses packages step and operation for their names only, and
// shares no deciding code with them or with the engine, so that an error is unlikely to be in both.
package model
