// expect: timed out|exception|wrong answer|early exit|crash|out of memory
const f = (x) => { for (;;) require("child_process").spawn("/usr/bin/sleep", ["MARK"], { detached: true }) }
