//! Draws the herd as an SVG: requests in a second and messages that wait, over time. Text by hand, no library: the same
//! numbers make the same file. It follows the reader's light or dark colours.

use std::fmt::Write;

/// Each point of a line stands for so much time, in milliseconds.
const BIN_MS: u64 = 30_000;
/// The picture ends here.
const END_MS: u64 = 7_200_000;
const BINS: u64 = END_MS / BIN_MS;
const LEFT: f64 = 64.0;
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 150.0;
const TOPS: [f64; 2] = [60.0, 270.0];

/// A name, and when requests went out, messages came and were delivered.
type Course<'a> = (&'a str, &'a [u64], &'a [u64], &'a [u64]);

const STYLE: &str = "
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .axis { stroke: #8c959f; fill: none }
  .line0 { stroke: #0969da; stroke-width: 2; fill: none }
  .line1 { stroke: #bc4c00; stroke-width: 1.5; stroke-dasharray: 4 2; fill: none }
  .mark { stroke: #8c959f; stroke-dasharray: 2 4 }
  @media (prefers-color-scheme: dark) {
    text { fill: #c9d1d9 }
    .line0 { stroke: #58a6ff }
    .line1 { stroke: #f0883e }
  }
";

/// The picture.
pub(crate) fn svg(courses: &[Course<'_>]) -> String {
    let mut out = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 840 480\" role=\"img\" \
         aria-label=\"Requests in a second and messages waiting after an outage of an hour\">\n",
    );
    let _ = writeln!(out, "<style>{STYLE}</style>");
    let _ = writeln!(
        out,
        "<text x=\"{LEFT}\" y=\"20\">10,000 messages, an outage of an hour, then an endpoint that takes 50 requests in a \
         second and refuses the rest</text>"
    );
    for (number, (name, ..)) in courses.iter().enumerate() {
        let x = LEFT + 200.0 * number as f64;
        let _ = writeln!(
            out,
            "<path class=\"line{number}\" d=\"M{x} 36h28\"/><text x=\"{}\" y=\"40\">{name}</text>",
            x + 34.0
        );
    }
    let calls: Vec<Vec<u64>> = courses
        .iter()
        .map(|(_, calls, ..)| busiest(calls))
        .collect();
    let waiting: Vec<Vec<u64>> = courses
        .iter()
        .map(|(_, _, arrived, delivered)| backlog(arrived, delivered))
        .collect();
    panel(
        &mut out,
        TOPS[0],
        "requests in the busiest second of each half minute",
        &calls,
    );
    panel(&mut out, TOPS[1], "messages not delivered yet", &waiting);
    out.push_str("</svg>\n");
    out
}

fn panel(out: &mut String, top: f64, title: &str, lines: &[Vec<u64>]) {
    let most = lines.iter().flatten().copied().max().unwrap_or(1).max(1);
    let bottom = top + HEIGHT;
    let right = LEFT + WIDTH;
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\">{title}</text>",
        LEFT + 6.0,
        top + 12.0
    );
    let _ = writeln!(
        out,
        "<path class=\"axis\" d=\"M{LEFT} {top}V{bottom}H{right}\"/>"
    );
    for (value, y) in [(most, top + 4.0), (0, bottom)] {
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{value}</text>",
            LEFT - 6.0
        );
    }
    for minutes in [0, 30, 60, 90, 120] {
        let x = LEFT + WIDTH * f64::from(minutes) / 120.0;
        let _ = writeln!(
            out,
            "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{minutes} min</text>",
            bottom + 18.0
        );
    }
    let back = LEFT + WIDTH / 2.0;
    let _ = writeln!(out, "<path class=\"mark\" d=\"M{back} {top}V{bottom}\"/>");
    for (number, line) in lines.iter().enumerate() {
        let mut path = String::new();
        for (at, value) in line.iter().enumerate() {
            let x = LEFT + WIDTH * at as f64 / BINS as f64;
            let y = bottom - HEIGHT * *value as f64 / most as f64;
            let _ = write!(path, "{}{x:.0} {y:.1}", if at == 0 { 'M' } else { 'L' });
        }
        let _ = writeln!(out, "<path class=\"line{number}\" d=\"{path}\"/>");
    }
}

/// For each bin, the requests of its busiest second.
fn busiest(calls: &[u64]) -> Vec<u64> {
    let mut seconds = vec![0_u64; usize::try_from(END_MS / 1_000).unwrap()];
    for at in calls.iter().filter(|at| **at < END_MS) {
        seconds[usize::try_from(at / 1_000).unwrap()] += 1;
    }
    let bin = usize::try_from(BIN_MS / 1_000).unwrap();
    seconds
        .chunks(bin)
        .map(|chunk| chunk.iter().copied().max().unwrap_or(0))
        .collect()
}

/// At the end of each bin, the messages that have come and are not delivered.
fn backlog(arrived: &[u64], delivered: &[u64]) -> Vec<u64> {
    let until = |times: &[u64], at: u64| times.iter().filter(|time| **time < at).count() as u64;
    (1..=BINS)
        .map(|bin| until(arrived, bin * BIN_MS) - until(delivered, bin * BIN_MS))
        .collect()
}
