// expect: early exit
fn f(_: i32) -> i32 { let _ = std::thread::spawn(|| std::process::exit(0)).join(); 0 }
