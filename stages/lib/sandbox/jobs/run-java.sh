# One process for all copies of the tests, which load the candidate anew. The supervisor raises the first limit for the second
# copy. One tier of the just-in-time compiler and one collector thread: the shortest start.
ulimit -S -t "$cpu"
ulimit -H -t $((cpu * copies))
exec "$JAVA/bin/java" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto -XX:-UsePerfData -Xmx512m -Xss8m \
	-cp "$KIT" Harness "$entry" "$copies"
