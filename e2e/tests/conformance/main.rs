//! Every client does the same: the cases of `sdk/conformance`, by tonic, WebSocket and
//! plain HTTP, as the schema says it.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should stop"
)]

mod acts;
mod kit;
mod plain;
mod seats;
mod watches;

use clarateach_e2e::house_or_skip;

#[tokio::test]
async fn the_schema_itself_does_as_the_conformance_kit_says() {
    let house = house_or_skip!();
    let mut acts = acts::Acts::new(&house).await;
    for case in kit::cases("rust") {
        println!("{}", case.name);
        kit::tell(&case, &mut acts).await;
    }
    house.close();
}
