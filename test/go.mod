module github.com/stepgate/stepgate/test

go 1.26

require (
	github.com/anishathalye/porcupine v1.3.1
	github.com/stepgate/stepgate v0.0.0
)

require (
	github.com/google/uuid v1.6.0 // indirect
	github.com/looplab/fsm v1.0.3 // indirect
)

replace github.com/stepgate/stepgate => ../
