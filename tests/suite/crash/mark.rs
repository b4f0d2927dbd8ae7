//! Power loss while the first marks of new logs are written: the file can be read, whatever is left of it.
//!
//! These few calls are too rare among those of a server's life for [`super::power`] to meet them often.

use std::{cell::Cell, fs};

use attestree::{core::number::LogNumber, store::Watermark};

use super::{
    disk::Disk,
    image::{Fate, Style},
    random::Random,
    recorder::{Recorder, record_verb},
    site::{HASHED, PLAIN, Site},
};
use crate::needs::strace_attaches;

/// Images at each moment. One in five showed the damage that this test was written for.
const IMAGES: usize = 40;

/// The name under which the file is made.
const KIND: &str = "data.watermark.new";

#[test]
fn marks_are_whole_or_absent_after_power_loss() {
    let site = Site::new();
    if !strace_attaches("marks") {
        return;
    }
    let random = &mut Random::seeded("marks");
    let mut recorder = Recorder::new();
    for (origin, hashed) in [(PLAIN, false), (HASHED, true)] {
        record_verb(&site, &mut recorder, &site.init_arguments(origin, hashed));
    }
    let made = recorder.clock()();
    let strace = recorder.next(&site);
    let mut server = site.spawn(&[], Some(&strace)).expect_listening();
    let listening = recorder.clock()();
    server.kill();
    let recording = recorder.finish();
    recording.assert_complete(&site);

    let moments = recording.moments_by_kind(&site).remove(KIND).expect("the server writes marks");
    let opened = Cell::new(0);
    recording.play(Disk::new(&site.disk()), &moments, |disk, moment| {
        for _ in 0..IMAGES {
            let style = Style { data: Fate::Torn, names: Fate::Kept };
            let image = disk.image(style, random);
            let Some(bytes) = image.file("data.watermark").filter(|_| moment > made) else {
                continue;
            };
            let path = site.scratch("watermark");
            fs::write(&path, bytes).unwrap();
            let marks =
                Watermark::open(&path).unwrap_or_else(|error| panic!("at {moment}: {error}"));
            for log in [LogNumber(0), LogNumber(1)] {
                let mark = marks.get(log).unwrap();
                assert!(moment < listening || mark.is_some(), "the mark of log {log} was synced");
            }
            opened.set(opened.get() + 1);
        }
    });
    assert!(opened.get() > 8 * IMAGES, "the marks of both logs are written and synced");
}
