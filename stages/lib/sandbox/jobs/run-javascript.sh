# As Java's.
ulimit -H -t $((cpu * copies))
ulimit -S -t "$cpu"
exec "$NODE" --max-old-space-size=512 "$KIT/harness.js" "report_${entry#tests_}" "$copies"
