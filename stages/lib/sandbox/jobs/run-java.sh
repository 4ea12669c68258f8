# One tier of the just-in-time compiler and one collector thread: the shortest start. Harness comes before p.jar.
exec "$JAVA/bin/java" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto -XX:-UsePerfData -Xmx512m -Xss8m \
	-cp "$KIT:p.jar" Harness
