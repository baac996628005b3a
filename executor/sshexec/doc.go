// Package sshexec runs the scripts of steps on hosts over SSH, and copies files to hosts. It has
// two functions for package executor, [Remote.Script] and [Remote.Files].
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
// The payload of a script step is a [Script] as JSON, that of a file transfer a [Files]. The name
// of a target is its address, read by [ParseAddress]; [Config.Address] replaces that. A step with
// an invalid payload becomes abnormal, with a [PayloadError] as the reason.
//
// # Hosts
//
// A host needs an SSH server and, for scripts, /bin/sh, head, mktemp, ps and setsid, which every
// Linux has. Perl can replace setsid; without both, a stop only ends the script's shell. File
// transfers need the SFTP subsystem. sshexec installs nothing on the host. The account may have any
// shell.
//
// known_hosts must have the key of a host; sshexec does not connect to other hosts. Add a key with
// ssh-keyscan and check it, or let an authority sign the keys of all hosts and add one
// @cert-authority line. [Config.HostKeyCallback] replaces known_hosts. No default accepts every
// key.
//
// # Connections
//
// A connection serves one target at a time and is then kept for [Config.Idle]. The maximum is
// [Config.PerHost] connections per address and [Config.InAll] in total; a target waits for a
// connection. Opening one takes at most [Config.Connect] and [Config.Handshake]. A dead connection
// is detected within twice [Config.KeepAlive]. Only the step's deadline bounds the work itself. Set
// executor.AtOnce to about [Config.InAll]: a target that waits for a connection counts there too.
//
// # Stop
//
// A script has its own session and process group. A guard process beside it waits for the end of
// the connection's input. A stop closes this input: the guard sends SIGTERM to the group, and
// SIGKILL after [Config.Grace]; the result follows when the group has ended. The same happens when
// the connection or this process dies, as soon as the SSH server of the host detects it. Set its
// ClientAliveInterval: without it, a host may run a script to its end after its network was cut. A
// process that has left the group, as daemons do, is not stopped.
//
// A stopped script is ScriptTerminated or, at the step's deadline, ScriptTimedOut; it is
// TerminateFailed if the host does not confirm the stop within Grace and 10 s. A stopped file
// transfer removes the file that it has begun, and is TargetTerminated or FileTimedOut.
//
// # Results
//
// A script that exits with 0 is TargetSucceeded, with another code NonZeroExit; the detail is its
// last line on standard error. A script that was killed by a signal has the exit code 128 plus the
// number of the signal. ScriptFailed means that the account's shell did not start the script. A
// file that cannot be written on the host is CopyFailed. A source that cannot be read is
// SourceMissing, FetchFailed or, above [Config.FileLimit], TooLarge.
//
// Other failures and their results, for scripts and for files:
//
//	the target's name has no address          invalid_target    invalid_target
//	known_hosts does not have the host        invalid_target    invalid_target
//	no account is given                       no_such_user      no_such_user
//	no connection or handshake in time        not_delivered     not_delivered
//	keys or known_hosts cannot be read here   not_delivered     not_delivered
//	the host's key differs, or is revoked     agent_error       file_agent_error
//	the host refuses the log-in               bad_password      bad_password
//	the host's server fails, or has no sftp   agent_error       file_agent_error
//	the connection died during the work       agent_error       transfer_error
//	stopped before it began                   terminated        terminated
//	the deadline passed before it began       script_timed_out  file_timed_out
//
// SSH servers answer an unknown account like an unaccepted key: both are bad_password. After its
// connection died, the outcome of a script is unknown, and its host ends it.
//
// # Output
//
// The output of a script goes to [Config.Logs] while the script runs, up to [Config.OutputLimit]
// bytes for both streams of a target together; the rest is read and dropped, and a last line says
// so. A file transfer logs one line per file. An error of Logs does not fail a script: the detail
// reports that output is missing.
//
// # Limits
//
// The memory per target is bounded: at most 2 MiB of output, while Logs are slow, and 256 KiB of a
// file in flight. A file is written under a temporary name in the same folder,
// .stepgate-JOB-STEP-TARGET-..., synced if the server supports it, and renamed. If the connection
// dies, the temporary file stays until the next attempt removes it. Links on the host are followed.
// Hosts with Windows are not supported.
package sshexec
