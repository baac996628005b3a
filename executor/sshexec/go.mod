module github.com/stepgate/stepgate/executor/sshexec

go 1.26.0

require (
	github.com/pkg/sftp v1.13.12
	github.com/stepgate/stepgate v0.0.0
	golang.org/x/crypto v0.59.0
)

require (
	github.com/google/uuid v1.6.0 // indirect
	github.com/kr/fs v0.1.0 // indirect
	github.com/looplab/fsm v1.0.3 // indirect
	golang.org/x/sys v0.50.0 // indirect
)

replace github.com/stepgate/stepgate => ../..
