// expect: wrong answer
require("child_process").spawn("/usr/bin/sleep", ["MARK"], { detached: true, stdio: "ignore" }).unref()
const f = (x) => 0
