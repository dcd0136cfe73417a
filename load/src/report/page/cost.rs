use maud::{Markup, html};
use stepwell_pipeline::{
    figures::{bytes, thousands, usd},
    price::{Bill, Line},
};

/// The bill as a table, and what is not in it.
pub(super) fn cost(bill: &Bill) -> Markup {
    let requests = bill.usage.requests();
    html! {
        table {
            thead { tr { th { "What" } th.number { "How much" } th { } th.number { "Price of one" } th.number { "USD" } } }
            tbody { @for line in &bill.lines { (row(line)) } }
            tfoot { tr { td { b { "Together" } } td { } td { } td { } td.number { b { (usd(bill.usd)) } } } }
        }
        p.note {
            "Estimated: list prices of " (bill.region) " as of " (bill.prices_of) ", without free tiers and discounts. "
            (bytes(requests.bytes_read)) " were read from the stores and " (bytes(requests.bytes_written))
            " written, which costs nothing within a region, as removals do. Not in it: attempts that failed, what "
            code { "Load" } " did after this report was written, " code { "trigger" } " and " code { "notify" }
            ", logs and storage."
        }
    }
}

fn row(line: &Line) -> Markup {
    html! {
        tr {
            td { (line.what) }
            td.number { (quantity(line)) }
            td { (line.unit) }
            td.number { (usd(line.usd_of_unit)) }
            td.number { (usd(line.usd)) }
        }
    }
}

/// Counts as they are, times and memory with three places.
fn quantity(line: &Line) -> String {
    if line.quantity.fract() == 0.0 { thousands(line.quantity as u64) } else { format!("{:.3}", line.quantity) }
}
