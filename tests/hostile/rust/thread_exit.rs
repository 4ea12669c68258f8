// expect: early exit|wrong answer
fn f(_: i32) -> i32 { std::thread::spawn(|| std::process::exit(0)); std::thread::sleep(std::time::Duration::from_millis(200)); 0 }
