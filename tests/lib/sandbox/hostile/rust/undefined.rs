// expect: compile error
extern "C" { fn nowhere(x: i32) -> i32; }
fn f(x: i32) -> i32 { unsafe { nowhere(x) } }
