module github.com/stepgate/stepgate

go 1.26

require (
	github.com/google/uuid v1.6.0
	github.com/looplab/fsm v1.0.3
	pgregory.net/rapid v1.3.0
)
