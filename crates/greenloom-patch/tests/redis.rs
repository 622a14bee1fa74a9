//! An unmodified blocking client of Redis.

mod common;

use common::server::{self, Directory};
use common::{assert_together, ms, together};

#[test]
fn fifty_blocking_pops_wait_together() {
    let directory = Directory::new("redis");
    let Some(_server) = server::redis(directory.path()) else { return };
    let url = format!("redis+unix://{}", directory.path().join("redis").display());
    let client = redis::Client::open(url).unwrap();
    let pop = {
        let client = client.clone();
        move |number: usize| {
            let mut connection = client.get_connection().unwrap();
            let key = format!("queue {number}");
            redis::cmd("BLPOP").arg(key).arg(0.5).query::<Option<(String, String)>>(&mut connection).unwrap()
        }
    };
    let threads = common::threads();
    let (popped, took) = together(50, pop);
    assert_eq!(common::threads(), threads, "nobody has made a thread");
    assert!(popped.iter().all(Option::is_none));
    assert!(took >= ms(500));
    assert_together("50 x BLPOP with a timeout of 0.5 s", took, ms(3000), ms(25_000));

    let (values, _) = together(20, move |number| {
        let mut connection = client.get_connection().unwrap();
        let key = format!("pair {}", number / 2);
        if number % 2 == 0 {
            let popped = redis::cmd("BLPOP").arg(key).arg(20).query::<(String, String)>(&mut connection);
            popped.unwrap().1
        } else {
            std::thread::sleep(ms(5));
            redis::cmd("RPUSH").arg(key).arg(number).exec(&mut connection).unwrap();
            String::new()
        }
    });
    let popped: Vec<String> = values.into_iter().step_by(2).collect();
    assert_eq!(popped, (0..10).map(|pair| (2 * pair + 1).to_string()).collect::<Vec<_>>());
}
