# As Java's.
ulimit -S -t "$cpu"
ulimit -H -t $((cpu * copies))
exec "$NODE" --max-old-space-size=512 "$KIT/harness.js" "report_${entry#tests_}" "$copies"
