# Runs the script that is its standard input: $1 is the line to print before, $2 the script's bytes,
# $3 the tenths of a second between SIGTERM and SIGKILL, and what follows is exported. When the
# standard input ends, as at a stop and when the connection dies, it ends the script's process group.
# It reaches the host on one line in single quotes: no single quote and no exclamation mark here.
mark=$1; size=$2; grace=$3; shift 3; export "$@";
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
# A group of its own: without setsid that of a job.
if command -v setsid >/dev/null 2>&1; then
	setsid /bin/sh "$file" 3<&- &
else
	set -m; /bin/sh "$file" 3<&- & set +m;
fi;
group=$!;
trap "" HUP INT TERM;
tick() { if sleep 0.1; then i=$((i+1)); else sleep 1; i=$((i+10)); fi; };
# Zombies count for none: some inits, those of containers above all, are slow to bury them.
alive() {
	kill -0 "-$group" || return 1;
	all=$(ps -A -o pgid= -o stat=) || return 0;
	echo "$all" | grep -q "^ *$group  *[^ZX ]";
};
# The guard: USR1 ends it while it waits, and nothing once it has work.
{
	while read -r line; do :; done;
	trap "" USR1;
	i=0;
	until kill -0 "-$group"; do kill -0 "$group" || break; tick; done;
	kill -TERM "-$group";
	i=0; while alive && [ "$i" -lt "$grace" ]; do tick; done;
	kill -KILL "-$group";
	i=0; while alive && [ "$i" -lt 10 ]; do tick; done;
} <&3 >/dev/null 2>&1 &
guard=$!;
exec 3<&-;
{ wait "$group"; code=$?; kill -USR1 "$guard"; wait "$guard"; } 2>/dev/null;
rm -f "$file";
exit "$code"
