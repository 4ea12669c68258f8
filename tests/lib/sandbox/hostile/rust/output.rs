// expect: output limit
fn f(_: i32) -> i32 { loop { println!("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"); } }
