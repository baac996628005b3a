// Package faults holds a list of faults, each planted by hand, that the tests must catch.
//
// An entry of testdata/*.txt says in one sentence which promise breaks and how, and holds the
// patch that breaks it and the command that fails:
//
//	== short-name-in-words
//	One sentence, on one or more lines.
//	catch: ./engine -run 'TestX$'
//	@ engine/decide.go
//	 context
//	-old line
//	+new line
//
// A catch is the arguments of go test, run in the root of the repository; of several, one that
// fails is enough. A hunk is a diff without line numbers: what it shows as old is in the file
// exactly once. An entry may have several hunks, of one file or more. An empty line within a
// hunk stands for one of the file; those at its end are none. A line that begins with # before
// the first entry is a comment. Where the code of an entry goes, the same fault is planted in
// what replaces it; an entry that can no longer exist has in place of catch and hunks one line:
//
//	gone: why
//
// TestFaultsApply checks that every entry fits the code as it is. TestFaultsCaught plays them, if
// asked to, with overlays of the go command: the work tree stays as it is.
//
//	go test ./test/faults                                         # do all fit?
//	go test ./test/faults -timeout 0 -v -play                     # is every fault caught?
//	go test ./test/faults -timeout 0 -v -play -only '^a-name$'    # are these?
package faults
