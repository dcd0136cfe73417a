//! The template with the functions' binaries, packaged as `sam build` and `sam package` would, and its stacks.

use std::{collections::BTreeMap, ffi::OsStr, fs, path::Path, time::Duration};

use crate::{Checkout, Endpoint, SandboxError, environment::Environment};

/// The bucket of what is deployed.
pub const ARTIFACTS: &str = "artifacts";

/// The functions of the template; each is also the name of its binary.
pub const FUNCTIONS: [&str; 5] = ["extract", "transform", "load", "notify", "trigger"];

const VERSION: (&str, &str) = ("Version", "2010-05-15");
const STACK_LIMIT: Duration = Duration::from_secs(120);

/// Packages the template with binaries of a folder into another folder. Returns the template that refers to the files
/// there, named by their content.
///
/// # Errors
/// If a binary is missing, or the script fails.
pub fn package(
    environment: &Environment,
    checkout: &Checkout,
    binaries: &Path,
    folder: &Path,
) -> Result<String, SandboxError> {
    check_binaries(binaries)?;
    let template = checkout.template();
    let arguments = [template.as_os_str(), binaries.as_os_str(), folder.as_os_str(), OsStr::new(ARTIFACTS)];
    environment.run(&checkout.script("package.py"), &arguments)?;
    let packaged = folder.join("template.json");
    fs::read_to_string(&packaged).map_err(|error| SandboxError::of_file("read", &packaged, error))
}

/// Checks that a folder has the binaries of all functions.
///
/// # Errors
/// If one is missing.
pub fn check_binaries(folder: &Path) -> Result<(), SandboxError> {
    let missing: Vec<_> = FUNCTIONS.into_iter().filter(|name| !folder.join(name).is_file()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(SandboxError(format!("{} has no {}", folder.display(), missing.join(", "))))
}

/// Uploads what a package consists of.
///
/// # Errors
/// If a file cannot be read, or the endpoint refuses it.
pub async fn upload(endpoint: &Endpoint, folder: &Path) -> Result<(), SandboxError> {
    endpoint.create_bucket(ARTIFACTS).await?;
    let unreadable = |error| SandboxError::of_file("read", folder, error);
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let key = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let body = fs::read(&path).map_err(|error| SandboxError::of_file("read", &path, error))?;
        endpoint.put_object(ARTIFACTS, key, body).await?;
    }
    Ok(())
}

/// Creates a stack from a packaged template that is uploaded, or brings the stack of that name up to it, and waits for
/// the end. Returns the stack's outputs.
///
/// # Errors
/// If the stack does not come to be; with what failed and why.
pub async fn deploy(
    endpoint: &Endpoint,
    stack: &str,
    template: &str,
    parameters: &[(&str, &str)],
) -> Result<BTreeMap<String, String>, SandboxError> {
    match request(endpoint, stack, template, parameters).await {
        Err(SandboxError(message)) if message.contains("No updates are to be performed") => {}
        answer => answer?,
    }

    let deadline = tokio::time::Instant::now() + STACK_LIMIT;
    loop {
        let description = describe(endpoint, stack).await?;
        let status = element(&description, "StackStatus").unwrap_or_default();
        if matches!(&*status, "CREATE_COMPLETE" | "UPDATE_COMPLETE") {
            return Ok(outputs(&description));
        }
        if !status.ends_with("IN_PROGRESS") || tokio::time::Instant::now() > deadline {
            let failures = failures(endpoint, stack).await?;
            return Err(SandboxError(format!("the stack {stack} is {status}\n{}", failures.join("\n"))));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Asks for a stack of a packaged template, or for the update of the stack of that name, and waits for nothing.
///
/// # Errors
/// If the endpoint refuses it; with what CloudFormation says.
pub async fn request(
    endpoint: &Endpoint,
    stack: &str,
    template: &str,
    parameters: &[(&str, &str)],
) -> Result<(), SandboxError> {
    // Longer than the 51,200 bytes that a request takes (CloudFormation User Guide, "CloudFormation quotas").
    let key = format!("{stack}/template.json");
    endpoint.put_object(ARTIFACTS, &key, template.as_bytes().to_vec()).await?;
    let url = format!("{}/{ARTIFACTS}/{key}", endpoint.0);
    let is_there = describe(endpoint, stack).await.is_ok();
    let action = if is_there { "UpdateStack" } else { "CreateStack" };
    let mut fields = vec![
        ("Action", action),
        VERSION,
        ("StackName", stack),
        ("TemplateURL", &url),
        ("Capabilities.member.1", "CAPABILITY_IAM"),
        ("Capabilities.member.2", "CAPABILITY_AUTO_EXPAND"),
    ];
    let names: Vec<_> = (1..=parameters.len())
        .map(|number| ["Key", "Value"].map(|part| format!("Parameters.member.{number}.Parameter{part}")))
        .collect();
    for ([key, value], (parameter, given)) in names.iter().zip(parameters) {
        fields.extend([(key.as_str(), *parameter), (value.as_str(), *given)]);
    }
    endpoint.query("cloudformation", &fields).await.map(drop)
}

async fn describe(endpoint: &Endpoint, stack: &str) -> Result<String, SandboxError> {
    endpoint.query("cloudformation", &[("Action", "DescribeStacks"), VERSION, ("StackName", stack)]).await
}

/// What failed, in the order in which it did.
async fn failures(endpoint: &Endpoint, stack: &str) -> Result<Vec<String>, SandboxError> {
    let question = [("Action", "DescribeStackEvents"), VERSION, ("StackName", stack)];
    let events = endpoint.query("cloudformation", &question).await?;
    let failed = events.split("<member>").filter_map(|event| {
        let status = element(event, "ResourceStatus").filter(|status| status.ends_with("FAILED"))?;
        let text = |name| element(event, name).unwrap_or_default();
        Some(format!("{} {status}: {}", text("LogicalResourceId"), text("ResourceStatusReason")))
    });
    let mut failed: Vec<_> = failed.collect();
    failed.reverse();
    Ok(failed)
}

fn outputs(description: &str) -> BTreeMap<String, String> {
    let outputs = description.split("<OutputKey>").skip(1).map(|output| {
        let key = output.split('<').next().unwrap_or_default();
        (key.to_owned(), element(output, "OutputValue").unwrap_or_default())
    });
    outputs.collect()
}

/// The text of the first element of that name in an XML answer.
pub fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#x27;", "'"), ("&amp;", "&")];
    Some(entities.iter().fold(text.to_owned(), |text, (entity, character)| text.replace(entity, character)))
}
