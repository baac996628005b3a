// Package sshexec does the work of steps on hosts over SSH: it runs scripts and copies files. It is
// two functions for package executor.
//
//	x, err := sshexec.New(sshexec.Config{
//		User:       "deploy",
//		KeyFiles:   []string{"/etc/stepgate/id_ed25519"},
//		KnownHosts: []string{"/etc/stepgate/known_hosts"},
//		Logs:       logs,
//	})
//	...
//	err = executor.New(eng,
//		executor.Hosts(step.Script, x.Script),
//		executor.Hosts(step.FileTransfer, x.Files),
//	).Run(ctx)
//
// The payload of a script step is a [Script] as JSON, that of a file transfer a [Files]. A target's
// name is its address, [ParseAddress], unless [Config.Address] says otherwise. A step with a
// malformed payload is abnormal, with a [PayloadError] as its reason.
//
// # Hosts
//
// A host needs an SSH server, and for scripts /bin/sh, head, mktemp, ps and setsid, as any Linux has
// them. Perl does in place of setsid; without both, a stop reaches the script's shell alone. File
// transfers need the subsystem sftp. Nothing is installed. The account's shell can be any.
//
// A host proves itself by its key in known_hosts. A host that is not there is not connected to: add
// its key with ssh-keyscan and check it, or have an authority sign the keys of hosts and one line
// @cert-authority name it. [Config.HostKeyCallback] checks by other means; there is no default that
// accepts any key.
//
// # Connections
//
// A connection serves one target at a time and is then kept for [Config.Idle]. There are at most
// [Config.PerHost] of an address, and [Config.InAll] together; work waits for one. A new connection
// takes at most [Config.Connect] and [Config.Handshake], and a dead one is found out within twice
// [Config.KeepAlive]. The work itself has no bound but the step's deadline. Set executor.AtOnce to
// about [Config.InAll]: a function that waits for a connection takes a place there.
//
// # Stop
//
// A script has a session and a process group of its own, and a guard beside it that waits for the
// end of the connection's input. At a stop this input is closed: the guard sends SIGTERM to the
// group, and SIGKILL after [Config.Grace]; the result comes when the group has ended. The same
// happens if the connection or this process dies, as soon as the host's server notices: set its
// ClientAliveInterval, without which a host whose network was cut may run a script to its end. A
// process that has left the group, as a daemon does, is left alone.
//
// The results are ScriptTerminated or, at the step's deadline, ScriptTimedOut; TerminateFailed if
// the host did not confirm the stop within Grace and 10 s. A file transfer that is stopped removes
// what it has begun, and is TargetTerminated or FileTimedOut.
//
// # Results
//
// A script that exits with 0 is TargetSucceeded, with another code NonZeroExit; its last line on
// standard error is the detail. One that was killed by a signal has the code 128 and the signal.
// ScriptFailed says that the account's shell did not come as far as the script. A file that
// cannot be written is CopyFailed, and one that cannot be read here SourceMissing, FetchFailed or,
// above [Config.FileLimit], TooLarge.
//
// What else keeps a target from its work is this, for scripts and for files:
//
//	the name leads to no host                 invalid_target    invalid_target
//	known_hosts does not have the host        invalid_target    invalid_target
//	no account is named                       no_such_user      no_such_user
//	no connection or handshake in time        not_delivered     not_delivered
//	keys or known_hosts cannot be read here   not_delivered     not_delivered
//	the host's key is another, or revoked     agent_error       file_agent_error
//	the host refuses the log-in               bad_password      bad_password
//	the host's server fails, or has no sftp   agent_error       file_agent_error
//	the connection died under way             agent_error       transfer_error
//	stopped before it began                   terminated        terminated
//	the deadline passed before it began       script_timed_out  file_timed_out
//
// SSH servers do not tell an account that does not exist from a key that they do not accept: both
// are bad_password. The outcome of a script whose connection died is unknown, and its host ends it.
//
// # Output
//
// What a script writes goes to [Config.Logs] while it runs, up to [Config.OutputLimit] bytes for
// both streams of a target; the rest is read and dropped, and a line says so. A file transfer logs
// a line for each file. Logs that fail fail no script: the detail says that output is missing.
//
// # Limits
//
// The memory of a target does not grow with what it writes or with the size of its files: at most
// 2 MiB of output, while Logs are slow, and 256 KiB of a file are under way. Files are written to a
// temporary name beside their own, .stepgate-JOB-STEP-TARGET-..., synced where the server can, and
// renamed. A connection that dies leaves that file behind, and the next attempt removes it. Links on
// the host are followed. Hosts with Windows are not supported.
package sshexec
