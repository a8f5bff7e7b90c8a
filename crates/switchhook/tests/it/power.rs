//! Promise: a power failure loses nothing that was acknowledged.
//!
//! The gateway runs on a file system that forgets what was not synced (`lossfs`), is killed, and starts again on
//! what a disk would have kept. `SWITCHHOOK_POWER_CUTS` sets how often. The control: with `durability = "os"`,
//! which syncs nothing before it answers, the same rig must find losses.

use std::time::Instant;

use crate::harness::audit::Findings;
use crate::harness::ordeal::{self, Ordeal};
use crate::harness::sender::{Sender, body};
use crate::harness::{PATIENCE, Site, setting, skipped, until};
use crate::lossfs::Lossfs;
use crate::lossfs::disk::Loss;

fn ordeal(volume: &mut Lossfs, durability: &str, rounds: u64, losses: &[Loss]) -> Findings {
    let start = Instant::now();
    let receiver = ordeal::receiver(start);
    let config = format!(
        "[store]\ndurability = \"{durability}\"\n\n{}",
        ordeal::config(&receiver)
    );
    let site = Site::on(Some(volume.path()), &config);
    let what = if durability == "os" {
        "power failures without syncs"
    } else {
        "power failures"
    };
    let cuts = Ordeal {
        rounds,
        seed: setting("SWITCHHOOK_SEED", 1),
        what,
        age_ms: (50, 700),
        subscriptions: &ordeal::SUBSCRIPTIONS,
        connections: ordeal::CONNECTIONS,
    };
    let cut = |round| {
        let loss = losses[usize::try_from(round).unwrap() % losses.len()];
        volume.cut_power(loss, cuts.seed.wrapping_add(round));
    };
    ordeal::run(&site, &receiver, start, &cuts, cut)
}

#[test]
fn nothing_acknowledged_is_lost_by_power_failures() {
    let mut volume = match Lossfs::mount() {
        Ok(volume) => volume,
        Err(why) => return skipped("power failures", &why),
    };
    let cuts = setting("SWITCHHOOK_POWER_CUTS", 5);
    ordeal(
        &mut volume,
        "fsync",
        cuts,
        &[Loss::All, Loss::Any, Loss::Tail],
    )
    .assert_clean();
}

#[test]
fn the_audit_fails_when_nothing_is_synced_before_the_answer() {
    let mut volume = match Lossfs::mount() {
        Ok(volume) => volume,
        Err(why) => return skipped("the control of the power test", &why),
    };
    let found = ordeal(&mut volume, "os", 3, &[Loss::All]);
    assert!(
        !found.lost.is_empty(),
        "{} events were acknowledged unsynced, and none was missed",
        found.acked
    );
}

#[test]
fn a_sync_that_fails_ends_the_process_and_nothing_acknowledged_is_lost() {
    let mut volume = match Lossfs::mount() {
        Ok(volume) => volume,
        Err(why) => return skipped("failing syncs", &why),
    };
    let receiver = ordeal::receiver(Instant::now());
    let site = Site::on(Some(volume.path()), &ordeal::config(&receiver));
    let gateway = site.start();
    let sender = Sender::start(site.ingest(), 1, 4);
    sender.wait_for(20, PATIENCE);
    volume.disk().fail_sync(3);
    until("the failure", || volume.disk().has_failed().then_some(()));
    let (code, words) = gateway.wait();
    assert_eq!(code, Some(74), "{words}");
    let acked = sender.stop();
    volume.cut_power(Loss::All, 0);
    let gateway = site.start();
    for (id, event) in acked {
        let again = gateway.send("web", &body(&id)).json();
        assert_eq!(
            again["eventId"].as_str(),
            Some(event.as_str()),
            "{id} was acknowledged and is gone"
        );
    }
}
