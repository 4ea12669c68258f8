// expect: timed out
const f = (x) => { for (;;) require("child_process").spawn("/usr/bin/sleep", ["MARK"], { detached: true }) }
