. "$jobs/run-cpp.sh"
