# Runs the script on its standard input. $1 is the line to print first, $2 the size of the script in
# bytes, $3 the time between SIGTERM and SIGKILL in tenths of a second. It reads the octal escapes
# of the other arguments and exports them. When the standard input ends, at a stop or when the
# connection dies, it ends the script's process group. Without setsid and perl there is no group,
# and it ends only the script's shell. USR1 ends the guard while it waits; the guard ignores USR1
# once it stops the script. Zombies do not count as alive: some init processes, above all in
# containers, reap them late. It reaches the host on one line in single quotes, which csh and fish
# read like sh: it must contain no single quote, no double backslash and no other comment.
mark=$1; size=$2; grace=$3; shift 3;
for word; do word=$(printf "%b." "$word"); export "${word%.}"; done; unset word;
mask=$(umask); umask 077;
file=$(mktemp "${TMPDIR:-/tmp}/stepgate.XXXXXX") || exit 1;
exec 3<&0 </dev/null;
head -c "$size" <&3 >"$file";
got=$(wc -c <"$file");
if [ "$got" -ne "$size" ]; then
	rm -f "$file"; echo "the script did not arrive whole" >&2; exit 1;
fi;
umask "$mask";
printf "%s\n" "$mark";
if command -v setsid >/dev/null 2>&1; then
	setsid /bin/sh "$file" 3<&- &
elif command -v perl >/dev/null 2>&1; then
	perl -e "use POSIX; POSIX::setsid(); exec @ARGV" /bin/sh "$file" 3<&- &
else
	/bin/sh "$file" 3<&- &
fi;
group=$!;
trap "" HUP INT TERM;
tick() { if sleep 0.1; then i=$((i+1)); else sleep 1; i=$((i+10)); fi; };
alive() {
	kill -0 "$it" || return 1;
	all=$(ps -A -o "$by=" -o stat=) || return 0;
	echo "$all" | grep -q "^ *$group  *[^ZX ]";
};
{
	while read -r line; do :; done;
	trap "" USR1;
	i=0; until kill -0 "-$group" || [ "$i" -ge 10 ]; do kill -0 "$group" || break; tick; done;
	it=-$group; by=pgid; if [ "$i" -ge 10 ]; then it=$group; by=pid; fi;
	kill -TERM "$it";
	i=0; while alive && [ "$i" -lt "$grace" ]; do tick; done;
	kill -KILL "$it";
	i=0; while alive && [ "$i" -lt 10 ]; do tick; done;
} <&3 >/dev/null 2>&1 &
guard=$!;
exec 3<&-;
{ wait "$group"; code=$?; kill -USR1 "$guard"; wait "$guard"; } 2>/dev/null;
rm -f "$file";
exit "$code"
