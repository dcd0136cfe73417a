//! `report.html`: what a person would rather look at. One page with everything in it, nothing fetched.

mod cost;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use stepwell_pipeline::{
    figures::{bytes, thousands},
    handoff::Commit,
    manifest::{BatchSummary, ColumnProfile, Report, Timing},
    reject::ReasonCount,
};

const STYLE: &str = include_str!("page.css");
/// Rows of a table beyond which the page says how many more there are.
const ROWS_MAX: usize = 200;

/// The page of a report.
pub(super) fn page(report: &Report) -> String {
    let title = match &report.batch {
        Some(batch) => format!("Batch {}", batch.name),
        None => report.run.source.key.clone(),
    };
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (report.run.pipeline) " · " (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    p.pipeline { (report.run.pipeline) }
                    h1 { (title) }
                    p { (outcome(report)) }
                }
                main {
                    section { h2 { "Records" } (flow(report)) }
                    @if !report.reasons.is_empty() { section { h2 { "Rejects" } (reasons(report)) } }
                    section { h2 { "Columns" } (columns(report)) }
                    section { h2 { "Time" } (timings(report)) }
                    @if let Some(bill) = &report.cost { section { h2 { "Cost" } (cost::cost(bill)) } }
                    section { h2 { "Files" } (files(report)) }
                    @if let Some(batch) = &report.batch { section { h2 { "Members" } (members(batch)) } }
                }
                footer { (facts(report)) }
            }
        }
    };
    markup.into_string()
}

fn outcome(report: &Report) -> Markup {
    let (class, text) = match report.commit {
        Commit::Committed => ("good", "Loaded"),
        Commit::AlreadyCommitted => ("good", "Loaded by an earlier execution"),
        Commit::Superseded => ("late", "Superseded: a newer version of the object is current, nothing was changed"),
    };
    html! { span class={ "badge " (class) } { (text) } " " span.table { (report.table) } }
}

/// One part of the records that a stage was given.
struct Share {
    label: &'static str,
    class: &'static str,
    records: u64,
}

/// The counts as bars, one below the other; each is divided into what goes on and what does not.
fn flow(report: &Report) -> Markup {
    let accepted = report.records_in;
    let share = |label, class, records| Share { label, class, records };
    let extract = [share("accepted", "on", accepted), share("rejected", "bad", report.records_rejected)];
    let mut transform = vec![share("given by the SQL", "on", report.records_out)];
    transform.extend(report.records_filtered.map(|records| share("filtered", "off", records)));
    transform.extend(report.records_duplicate.map(|records| share("duplicate", "off", records)));
    let loaded = [share("loaded", "done", report.records_loaded)];
    let widest = report.records_read.max(report.records_out).max(1);
    html! {
        div.flow {
            (bar("Read", report.records_read, &extract, widest))
            (bar("Accepted", accepted, &transform, widest))
            (bar("Loaded", report.records_loaded, &loaded, widest))
        }
        ul.sums {
            li { (sum(report.records_read, "read", &extract)) }
            @if report.records_filtered.is_some() { li { (sum(accepted, "accepted", &transform)) } }
            @else { li { (thousands(accepted)) " accepted → " (thousands(report.records_out)) " given by SQL over the whole object" } }
            li { (thousands(report.records_loaded)) " loaded of " (thousands(report.records_out)) " given" }
        }
    }
}

fn bar(title: &str, records: u64, shares: &[Share], widest: u64) -> Markup {
    html! {
        div.row {
            div.name { (title) " " b { (thousands(records)) } }
            div.bar {
                @for share in shares {
                    @if share.records > 0 {
                        div class={ "share " (share.class) } style={ "width:" (percent(share.records, widest)) "%" }
                            title={ (thousands(share.records)) " " (share.label) } {}
                    }
                }
            }
            div.legend {
                @for share in shares {
                    span { i class={ "dot " (share.class) } {} (thousands(share.records)) " " (share.label) }
                }
            }
        }
    }
}

/// A sum, and whether it adds up.
fn sum(whole: u64, name: &str, shares: &[Share]) -> Markup {
    let adds_up = whole == shares.iter().map(|share| share.records).sum::<u64>();
    html! {
        span class=(if adds_up { "good" } else { "bad" }) { (if adds_up { "✓" } else { "✗" }) } " "
        (thousands(whole)) " " (name) " = "
        @for (index, share) in shares.iter().enumerate() {
            @if index > 0 { " + " }
            (thousands(share.records)) " " (share.label)
        }
    }
}

fn reasons(report: &Report) -> Markup {
    html! {
        @if let Some(files) = &report.rejects {
            p {
                "The records as they came: "
                @for (index, key) in files.records().take(ROWS_MAX).enumerate() {
                    @if index > 0 { ", " }
                    code { (key) }
                }
                @if files.further.len() >= ROWS_MAX { " and more in report.json" }
                ", to be mended and uploaded again; every reason: "
                code { (files.reasons) } "."
            }
        }
        table {
            thead { tr { th.number { "Records" } th { "Column" } th { "Reason" } th { "First seen" } th { "Value" } } }
            tbody { @for reason in report.reasons.iter().take(ROWS_MAX) { (reason_row(report, reason)) } }
        }
        (more(report.reasons.len()))
    }
}

fn reason_row(report: &Report, reason: &ReasonCount) -> Markup {
    html! {
        tr {
            td.number { (thousands(reason.records)) }
            td { (reason.column.as_deref().unwrap_or("–")) }
            td.reason { code.code { (reason.code.name()) } " " (reason.sample.message) }
            td.place { (reason.place(&report.run)) }
            td { @if let Some(value) = &reason.sample.value { code { (value) } } }
        }
    }
}

fn columns(report: &Report) -> Markup {
    let records = report.records_read - report.records_rejected.min(report.records_read);
    html! {
        table {
            thead {
                tr {
                    th { "Column" } th { "Type" } th.number { "Nulls" } th { } th { "Least" } th { "Greatest" }
                    th.number { "Different values" }
                }
            }
            tbody { @for column in report.profile.iter().take(ROWS_MAX) { (column_row(column, records)) } }
        }
        (more(report.profile.len()))
        p.note { "Of the accepted records. Different values are estimated, about 2 % off." }
    }
}

fn column_row(column: &ColumnProfile, records: u64) -> Markup {
    html! {
        tr {
            td { b { (column.name) } }
            td { code.type { (column.data_type) } }
            td.number { (thousands(column.nulls)) }
            td { div.meter { div style={ "width:" (percent(column.nulls, records.max(1))) "%" } {} } }
            td { (column.min.as_deref().unwrap_or("–")) }
            td { (column.max.as_deref().unwrap_or("–")) }
            td.number { (thousands(column.distinct_estimate)) }
        }
    }
}

fn timings(report: &Report) -> Markup {
    let timings = &report.timings;
    let stages = [("Extract", timings.extract), ("Transform", timings.transform), ("Load", timings.load)];
    let longest = stages.iter().map(|(_, timing)| timing.duration_ms).max().unwrap_or(0).max(1);
    html! {
        div.flow {
            @for (name, timing) in stages {
                div.row {
                    div.name { (name) " " b { (seconds(timing)) } }
                    div.bar { div.share.on style={ "width:" (percent(timing.duration_ms, longest)) "%" } {} }
                }
            }
        }
        p.note {
            (bytes(report.bytes_read)) " read, " (bytes(report.bytes_loaded)) " loaded."
        }
    }
}

fn files(report: &Report) -> Markup {
    html! {
        table {
            thead { tr { th { "File" } th.number { "Records" } th.number { "Bytes" } } }
            tbody {
                @for file in report.files.iter().take(ROWS_MAX) {
                    tr { td { code { (file.key) } } td.number { (thousands(file.records)) } td.number { (bytes(file.bytes)) } }
                }
            }
        }
        (more(report.files.len()))
    }
}

fn members(batch: &BatchSummary) -> Markup {
    let unnamed = batch.members.saturating_sub(batch.first.len() as u64);
    html! {
        p { "Batch of " (thousands(batch.members)) " objects, listed in " code { (batch.list) } "." }
        ul { @for member in &batch.first { li { code { (member) } } } }
        @if unnamed > 0 { p.note { "and " (thousands(unnamed)) " more in the list" } }
    }
}

fn facts(report: &Report) -> Markup {
    let source = &report.run.source;
    html! {
        dl {
            dt { "Run" } dd { code { (report.run.id) } }
            dt { (if report.batch.is_some() { "Batch list" } else { "Object" }) } dd { code { "s3://" (source.bucket) "/" (source.key) } " "
                @if let Some(version) = &source.version { "version " code { (version) } }
                @else { "etag " code { (source.etag) } } }
            dt { "Spec" } dd { code { (report.run.spec_digest) } }
            dt { "Stepwell" } dd { (report.code_version) }
        }
    }
}

fn more(rows: usize) -> Markup {
    html! { @if rows > ROWS_MAX { p.note { "and " (thousands((rows - ROWS_MAX) as u64)) " more in report.json" } } }
}

fn percent(part: u64, whole: u64) -> String {
    format!("{:.3}", part as f64 * 100.0 / whole as f64)
}

fn seconds(timing: Timing) -> String {
    format!("{:.2} s", timing.duration_ms as f64 / 1000.0)
}
