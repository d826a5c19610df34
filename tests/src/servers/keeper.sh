# Runs a server for a test, and ends it when the test's process is gone: then this script's input ends.
#
# Arguments: the folder to remove at the end, the log, the signal to end the server with, and the server's command line.
# Each line of the input is a command, and is answered with one line.
folder=$1 log=$2 last=$3
shift 3
# Shells say so when a child is killed.
exec 2>>"$log"
# Only the end of the input ends this script: an answer that nobody is there to read would, too. The server does not
# inherit what is caught here, as it would what is ignored.
trap : PIPE HUP INT TERM
pid=

# The server and its children; PostgreSQL has one process a session. The file stands in where pgrep is not installed.
family() { echo "$pid" $(pgrep -P "$pid" 2>/dev/null || cat "/proc/$pid/task/$pid/children" 2>/dev/null); }

while read -r command argument; do
    case $command in
    start) "$@" </dev/null >>"$log" 2>&1 & pid=$!; echo "$pid" ;;
    signal) kill -"$argument" "$pid" 2>/dev/null; echo "$?" ;;
    signal-all) kill -"$argument" $(family) 2>/dev/null; echo "$?" ;;
    wait) wait "$pid"; echo "$?"; pid= ;;
    esac
done

if [ -n "$pid" ]; then
    kill -CONT $(family) 2>/dev/null
    kill -"$last" "$pid" 2>/dev/null
    # A server that does not heed the signal within five seconds is killed.
    (sleep 5; kill -KILL $(family)) >/dev/null 2>&1 &
    watcher=$!
    wait "$pid"
    kill "$watcher" 2>/dev/null
fi
# Whoever was filling the folder when the test's process ended may still be at it.
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    rm -rf "$folder" 2>/dev/null
    if [ ! -e "$folder" ]; then break; fi
    sleep 0.2
done
