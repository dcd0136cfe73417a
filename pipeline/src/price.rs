//! What usage costs: list prices with their source and date, and the bill of a run.
//!
//! The prices are those of `price/list.json`, which `bench/cost` reads as well. They are on-demand prices without free
//! tiers, volume tiers, savings plans and taxes.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::usage::{StageUsage, Usage};

/// The price list, as JSON.
pub const LIST_JSON: &str = include_str!("price/list.json");

/// A price.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Price {
    /// US dollars for `per` units.
    pub usd: f64,
    /// How many units that is for.
    pub per: f64,
    /// What is paid for, in the singular.
    pub unit: String,
    /// The provider's page that tells the price.
    pub page: String,
    /// Where it was read in fact: a dated copy of the provider's price list.
    pub source: String,
    /// The day of that copy, or `undated`.
    pub seen: String,
}

impl Price {
    /// What an amount costs, in US dollars.
    pub fn of(&self, quantity: f64) -> f64 {
        if self.per > 0.0 { quantity * self.usd / self.per } else { 0.0 }
    }
}

/// The prices that a run's bill is made of.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Prices {
    /// A second of a gigabyte of Lambda's memory, on arm64.
    pub lambda_gb_second: Price,
    /// An invocation of a Lambda function.
    pub lambda_request: Price,
    /// GET, HEAD and all others of S3.
    pub s3_get: Price,
    /// PUT, COPY, POST and LIST of S3.
    pub s3_put: Price,
    /// A state transition of a Standard workflow.
    pub states_transition: Price,
}

#[derive(Debug, Default, Deserialize)]
struct List {
    region: String,
    /// The day of the newest of the dated copies.
    compiled: String,
    prices: Prices,
}

static LIST: LazyLock<List> = LazyLock::new(|| serde_json::from_str(LIST_JSON).unwrap_or_default());

/// The prices.
pub fn prices() -> &'static Prices {
    &LIST.prices
}

/// The region whose prices they are.
pub fn region() -> &'static str {
    &LIST.region
}

/// What a run cost, about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bill {
    /// US dollars in all.
    pub usd: f64,
    /// What they are made of.
    pub lines: Vec<Line>,
    /// What was used.
    pub usage: Usage,
    /// The region whose prices were taken.
    pub region: String,
    /// The day of the price list.
    pub prices_of: String,
}

/// One line of a bill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// What was used.
    pub what: String,
    /// How much of it.
    pub quantity: f64,
    /// In what unit.
    pub unit: String,
    /// The price of one unit in US dollars.
    pub usd_of_unit: f64,
    /// US dollars.
    pub usd: f64,
}

impl Bill {
    /// The bill for what a run used so far.
    pub fn of(usage: &Usage) -> Self {
        let prices = prices();
        let requests = usage.requests();
        let mut lines: Vec<Line> = usage.stages.iter().map(|stage| time(stage, &prices.lambda_gb_second)).collect();
        lines.extend([
            line("Function calls", usage.calls(), &prices.lambda_request),
            line("State transitions", usage.transitions(), &prices.states_transition),
            line("PUT, COPY and LIST requests", requests.requests_put, &prices.s3_put),
            line("GET and HEAD requests", requests.requests_get, &prices.s3_get),
        ]);
        Self {
            usd: lines.iter().map(|line| line.usd).sum(),
            lines,
            usage: usage.clone(),
            region: LIST.region.clone(),
            prices_of: LIST.compiled.clone(),
        }
    }
}

fn time(stage: &StageUsage, price: &Price) -> Line {
    let what = format!("{}: {:.2} s of {} MiB", stage.stage, stage.billed_ms as f64 / 1000.0, stage.memory_mib);
    Line { what, ..priced(stage.gb_seconds, price) }
}

fn line(what: &str, quantity: u64, price: &Price) -> Line {
    Line { what: what.to_owned(), ..priced(quantity as f64, price) }
}

fn priced(quantity: f64, price: &Price) -> Line {
    Line {
        what: String::new(),
        quantity,
        unit: price.unit.clone(),
        usd_of_unit: price.of(1.0),
        usd: price.of(quantity),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{stage::Stage, usage::Requests};

    fn usage() -> Usage {
        let call = |stage, gb_seconds, requests_get, requests_put| StageUsage {
            stage,
            calls: 1,
            billed_ms: 1000,
            memory_mib: 1024,
            gb_seconds,
            requests: Requests { requests_get, requests_put, requests_delete: 9, ..Requests::default() },
        };
        Usage::default()
            .with_call(call(Stage::Extract, 10.0, 100, 3))
            .with_call(call(Stage::Transform, 20.0, 0, 4))
            .with_call(call(Stage::Load, 1.0, 5, 5))
    }

    #[test]
    fn every_price_is_positive_and_has_a_source_and_a_date() {
        let list: Value = serde_json::from_str(LIST_JSON).expect("JSON");
        for (name, price) in list["prices"].as_object().expect("prices") {
            let price: Price = serde_json::from_value(price.clone()).expect(name);
            assert!(price.usd > 0.0 && price.per > 0.0 && !price.unit.is_empty(), "{name}");
            assert!(price.page.starts_with("aws.amazon.com"), "{name} has no page of the provider");
            assert!(!price.source.is_empty(), "{name}");
            let is_dated = chrono::NaiveDate::parse_from_str(&price.seen, "%Y-%m-%d").is_ok();
            assert!(is_dated || price.seen == "undated", "{name}: {}", price.seen);
        }
        for price in [&prices().lambda_gb_second, &prices().lambda_request, &prices().s3_get, &prices().s3_put] {
            assert_ne!(price.seen, "undated", "{price:?}");
        }
        assert_eq!(region(), "us-east-1");
        assert_ne!(prices(), &Prices::default());
    }

    #[test]
    fn a_bill_is_the_sum_of_its_lines() {
        let bill = Bill::of(&usage());
        let of = |what: &str| bill.lines.iter().find(|line| line.what.starts_with(what)).expect(what);
        assert!((of("Extract").usd - 10.0 * 0.000_013_333_4).abs() < 1e-12);
        assert_eq!(of("Extract").what, "Extract: 1.00 s of 1024 MiB");
        assert!((of("Function calls").usd - 3.0 * 0.000_000_2).abs() < 1e-12);
        assert_eq!(of("State transitions").quantity, 7.0);
        assert!((of("State transitions").usd - 7.0 * 0.000_025).abs() < 1e-12);
        assert!((of("PUT").usd - 12.0 * 0.000_005).abs() < 1e-12);
        assert!((of("GET").usd - 105.0 * 0.000_000_4).abs() < 1e-12);
        assert!((bill.usd - bill.lines.iter().map(|line| line.usd).sum::<f64>()).abs() < 1e-15);
        assert_eq!(usage().cost_usd(), bill.usd);
        assert!((bill.usd - (31.0 * 0.000_013_333_4 + 0.000_000_6 + 0.000_175 + 0.000_06 + 0.000_042)).abs() < 1e-12);
    }

    #[test]
    fn nothing_used_costs_nothing() {
        assert_eq!(Bill::of(&Usage::default()).usd, 0.0);
        assert_eq!(Price::default().of(7.0), 0.0, "where there is no price");
    }
}
