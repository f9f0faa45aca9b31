//! Lists: by labels, in pages, with a part missing.

use clarateach_e2e::fake_gce::{Fault, Kind};
use serde_json::json;

use crate::{body, fake, get, instances, post};

#[tokio::test]
async fn lists_are_filtered_and_come_in_pages() {
    let fake = fake().await;
    for n in 1..=5 {
        let mut body = body(&format!("worker-{n}"));
        body["labels"]["installation"] = json!(if n == 3 { "two" } else { "one" });
        post(&fake, &instances(""), &body).await;
    }
    fake.quiet().await;
    let filter = "filter=labels.app%3Dclarateach%20AND%20labels.installation%3Done";
    let mut seen = vec![];
    let mut token = String::new();
    loop {
        let path = format!("zones/us-central1-a/instances?{filter}&maxResults=2&pageToken={token}");
        let (status, page) = get(&fake, &path).await;
        assert_eq!(status, 200, "{page}");
        for item in page["items"].as_array().unwrap() {
            seen.push(item["name"].as_str().unwrap().to_owned());
        }
        match page["nextPageToken"].as_str() {
            Some(next) => next.clone_into(&mut token),
            None => break,
        }
    }
    assert_eq!(seen, ["worker-1", "worker-2", "worker-4", "worker-5"]);
    let path = format!("zones/us-central1-a/instances?pageToken={token}");
    assert_eq!(get(&fake, &path).await.0, 400, "the token of another list");
    for (filter, count) in [
        ("labels.worker:*", 5),
        ("labels.owner:*", 0),
        ("status!=RUNNING", 0),
        ("(labels.installation=two)%20(status=%22RUNNING%22)", 1),
        ("creationTimestamp%3E2020-01-01T00:00:00.000-08:00", 5),
    ] {
        let (_, found) = get(
            &fake,
            &format!("zones/us-central1-a/instances?filter={filter}"),
        )
        .await;
        let items = found["items"].as_array().map_or(0, Vec::len);
        assert_eq!(items, count, "{filter}: {found}");
    }
}

#[tokio::test]
async fn aggregated_lists_name_every_zone_and_warn_of_a_missing_one() {
    let fake = fake().await;
    post(&fake, &instances(""), &body("worker-1")).await;
    fake.quiet().await;
    let (_, whole) = get(&fake, "aggregated/instances?returnPartialSuccess=true").await;
    let zones = whole["items"].as_object().unwrap();
    assert_eq!(zones.len(), 4);
    assert_eq!(
        zones["zones/us-central1-a"]["instances"][0]["name"],
        "worker-1"
    );
    assert_eq!(
        zones["zones/us-central1-b"]["warning"]["code"],
        "NO_RESULTS_ON_PAGE"
    );
    fake.fault_next(
        Kind::AggregatedInstances,
        Fault::Partial("us-central1-a".to_owned()),
    );
    let (status, part) = get(&fake, "aggregated/instances").await;
    assert_eq!(status, 200);
    assert_eq!(
        part["items"]["zones/us-central1-a"]["warning"]["code"],
        "UNREACHABLE"
    );
    assert_eq!(part["unreachables"], json!(["zones/us-central1-a"]));
    fake.fault_next(
        Kind::ListInstances,
        Fault::Partial("us-central1-a".to_owned()),
    );
    let (_, part) = get(&fake, &instances("")).await;
    assert_eq!(
        (&part["warning"]["code"], &part["items"]),
        (&json!("UNREACHABLE"), &json!(null))
    );
    fake.plant_disk("us-east1-b", "old", &[("app", "clarateach")]);
    fake.plant_address("us-central1", "kept", [198, 51, 100, 7].into(), &[]);
    let (_, disks) = get(&fake, "aggregated/disks").await;
    assert_eq!(
        disks["items"]["zones/us-east1-b"]["disks"][0]["name"],
        "old"
    );
    let (_, addresses) = get(&fake, "aggregated/addresses").await;
    let address = &addresses["items"]["regions/us-central1"]["addresses"][0];
    assert_eq!(address["address"], "198.51.100.7");
}
