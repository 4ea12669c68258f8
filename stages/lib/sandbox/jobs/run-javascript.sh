exec "$NODE" --max-old-space-size=512 "$KIT/harness.js" "$(cat check)"
