//! The proof of a role: its scenarios succeed with its rights, and for each right one fails without it.

use super::{
    lab::{Judge, Lab},
    policy::{Ask, Grant, Policy},
    scenario::Scenario,
    services,
};

/// How it shows that a right is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// A scenario fails without it.
    Scenario {
        /// Its name.
        name: &'static str,
        /// Whether it fails too where moto judges.
        fails_on_moto: bool,
    },
    /// An AWS service asks for it, as AWS documents.
    Service(services::Use),
}

/// Shows for every right of a role what needs it. Panics where something does not go as it should, or where nothing
/// needs a right.
pub async fn prove(lab: &Lab, role: &str, policy: &Policy, scenarios: &[Scenario]) -> Vec<(Grant, Need)> {
    let (mut used, mut failed) = (Vec::new(), Vec::new());
    for judge in [Judge::Moto, Judge::Gate] {
        lab.rule(judge, policy).await;
        for scenario in scenarios {
            let (outcome, seen) = play(lab, scenario).await;
            if let Err(error) = outcome {
                failed.push(format!("{scenario:?}, judged by {judge:?}: {error}"));
            }
            if judge == Judge::Gate {
                used.push((scenario, seen.asked));
            }
        }
    }
    assert!(failed.is_empty(), "these fail with all rights:\n{}", failed.join("\n"));
    let refused = services::refused(role, policy);
    assert!(refused.is_empty(), "services are refused {refused:?}");
    let mut proofs = Vec::new();
    let mut idle = Vec::new();
    for grant in &policy.grants {
        if let Some(service) = services::needs(role, policy, grant) {
            proofs.push((grant.clone(), Need::Service(service)));
            continue;
        }
        let candidates = used.iter().filter(|(_, asked)| asked.iter().any(|ask| grant.allows(ask)));
        match first_that_fails(lab, policy, grant, candidates.map(|(scenario, _)| *scenario)).await {
            Some(scenario) => proofs.push((grant.clone(), scenario)),
            None => idle.push(grant.to_string()),
        }
    }
    assert!(idle.is_empty(), "nothing fails without these rights:\n{}", idle.join("\n"));
    proofs
}

async fn first_that_fails<'a>(
    lab: &Lab,
    policy: &Policy,
    grant: &Grant,
    candidates: impl Iterator<Item = &'a Scenario>,
) -> Option<Need> {
    let less = policy.without(grant);
    for scenario in candidates {
        lab.rule(Judge::Gate, &less).await;
        let (outcome, seen) = play(lab, scenario).await;
        let is_its_fault = seen.refused.iter().any(|ask: &Ask| grant.allows(ask));
        if outcome.is_err() && is_its_fault {
            lab.rule(Judge::Moto, &less).await;
            let fails_on_moto = play(lab, scenario).await.0.is_err();
            return Some(Need::Scenario { name: scenario.name, fails_on_moto });
        }
    }
    None
}

async fn play(lab: &Lab, scenario: &Scenario) -> (Result<(), String>, super::gate::Seen) {
    lab.clean().await;
    let outcome = (scenario.run)(lab).await;
    (outcome, lab.seen())
}

/// The same for a role that AWS services alone act with.
pub fn prove_by_services(role: &str, policy: &Policy) -> Vec<(Grant, Need)> {
    let refused = services::refused(role, policy);
    assert!(refused.is_empty(), "services are refused {refused:?}");
    let need = |grant: &Grant| {
        let known = services::needs(role, policy, grant);
        (grant.clone(), Need::Service(known.unwrap_or_else(|| panic!("no service is known to need {grant}"))))
    };
    policy.grants.iter().map(need).collect()
}
