use std::{
    env, fs,
    io::ErrorKind,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use clap::Args;
use stepwell_sandbox::{
    Checkout,
    environment::{self, Environment},
    ministack::{CREDENTIAL, REGION},
    stack,
};

use super::{CommandError, check::read_spec};
use crate::up::{Deployment, Package, Place, Told, functions, quoted};

const EXAMPLE: &str = "examples/flights";

#[derive(Debug, Args)]
pub(super) struct UpArguments {
    /// Where everything is kept that it makes, in the folder `up`.
    #[arg(long, value_name = "DIRECTORY", default_value = ".stepwell")]
    dir: PathBuf,
    /// The port on 127.0.0.1; by default a free one.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// A folder with the functions' binaries, to deploy instead of building them.
    #[arg(long, value_name = "DIRECTORY")]
    binaries: Option<PathBuf>,
    /// Prints the variables with which other programs reach the deployment, for a shell to evaluate.
    #[arg(long, conflicts_with = "json")]
    env: bool,
    /// Prints one JSON document instead of text.
    #[arg(long)]
    json: bool,
}

pub(super) async fn up(arguments: UpArguments) -> Result<ExitCode, CommandError> {
    let current = env::current_dir()?;
    let checkout = Checkout::around(&current).ok_or_else(|| {
        CommandError::Usage(format!(
            "{} is in no clone of Stepwell, whose template is to be deployed",
            current.display()
        ))
    })?;
    let example = checkout.root().join(EXAMPLE);
    let spec = read_spec(&example.join("pipeline.yaml")).await?;
    if let Some(binaries) = &arguments.binaries {
        stack::check_binaries(binaries).map_err(|error| CommandError::Usage(error.to_string()))?;
    }
    let place = Place::make(&arguments.dir)?;
    let before = running(&place, &checkout, arguments.port)?;

    let binaries = match &arguments.binaries {
        Some(binaries) => binaries.clone(),
        None => {
            eprintln!("building the functions");
            functions(&checkout)?
        }
    };
    let started = Instant::now();
    let environment = install(&place, &checkout)?;
    let package = Package::make(&place, &checkout, &environment, &binaries)?;
    let is_new = before.is_none();
    let port = match &before {
        Some(before) => before.port,
        None => {
            eprintln!("starting ministack");
            start(&place, &checkout, &environment, arguments.port).await?
        }
    };
    eprintln!("deploying {}", shown(&checkout.template(), &current).display());
    let deployed = Deployment::deploy(&place, &package, port, before, &spec).await;
    let (deployment, changed) = match deployed {
        Ok(deployed) => deployed,
        Err(error) => {
            if is_new {
                place.group().end()?;
            }
            return Err(error);
        }
    };
    eprintln!("up in {:.1} s", started.elapsed().as_secs_f64());

    let log = place.join("ministack.log");
    write_aws(&place, &environment, &deployment)?;
    let aws = arguments.dir.join("up").join("aws");
    let file = example.join("flights.csv");
    let told = Told::new(&deployment, changed, &aws, shown(&file, &current), shown(&log, &current))?;
    if arguments.json {
        println!("{:#}", serde_json::to_value(&told)?);
    } else if arguments.env {
        print!("{}", told.exports());
    } else {
        print!("{}", told.text(&stepwell()));
    }
    Ok(ExitCode::SUCCESS)
}

/// What is up, and can stay. What an interrupted command, or a ministack that ended, left is cleared away.
fn running(place: &Place, checkout: &Checkout, port: Option<u16>) -> Result<Option<Deployment>, CommandError> {
    if let Some(deployment) = Deployment::running(place)? {
        if port.is_some_and(|port| port != deployment.port) {
            let message = format!("it is up on port {}; for another port run `stepwell down` first", deployment.port);
            return Err(CommandError::Usage(message));
        }
        if !environment::is_installed(&place.environment(), &checkout.requirements())? {
            let message =
                "it is up with other packages than sandbox/requirements.txt asks for; run `stepwell down` first";
            return Err(CommandError::Usage(message.to_owned()));
        }
        return Ok(Some(deployment));
    }
    if let Some(port) = port {
        place.group().end()?;
        TcpListener::bind(("127.0.0.1", port)).map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => CommandError::Usage(format!("the port {port} is in use; name another with --port")),
            _ => CommandError::Usage(format!("cannot listen on port {port}: {error}")),
        })?;
    }
    if place.is_used() {
        eprintln!("what was up has ended or was interrupted; starting over");
        place.group().end()?;
        place.clear()?;
    }
    Ok(None)
}

/// The path as a person in the current folder would write it.
fn shown<'a>(path: &'a Path, current: &Path) -> &'a Path {
    path.strip_prefix(current).unwrap_or(path)
}

fn install(place: &Place, checkout: &Checkout) -> Result<Environment, CommandError> {
    let (folder, requirements) = (place.environment(), checkout.requirements());
    if !environment::is_installed(&folder, &requirements)? {
        eprintln!("installing ministack and the AWS CLI into {} (once)", folder.display());
    }
    Ok(environment::install(&folder, &requirements, &environment::python(), Some(place.lock()))?)
}

async fn start(
    place: &Place,
    checkout: &Checkout,
    environment: &Environment,
    port: Option<u16>,
) -> Result<u16, CommandError> {
    let started = Deployment::start(place, checkout, environment, port).await;
    if started.is_err() {
        place.group().end()?;
    }
    started
}

/// The AWS CLI in an environment of its own: it reaches ministack and nothing else, whatever the user has configured.
fn write_aws(place: &Place, environment: &Environment, deployment: &Deployment) -> Result<(), CommandError> {
    let python = quoted(&environment.program("python").display().to_string());
    let home = quoted(&place.join("tmp").display().to_string());
    let endpoint = deployment.endpoint().0;
    let script = format!(
        "#!/bin/sh\n# The AWS CLI on the deployment of `stepwell up`, and on no other.\n\
        exec env -i PATH=\"$PATH\" TERM=\"${{TERM-dumb}}\" HOME={home} PYTHONUTF8=1 AWS_PAGER= \\\n    \
        AWS_ENDPOINT_URL={endpoint} AWS_DEFAULT_REGION={REGION} \\\n    \
        AWS_ACCESS_KEY_ID={CREDENTIAL} AWS_SECRET_ACCESS_KEY={CREDENTIAL} {python} -m awscli \"$@\"\n"
    );
    let path = place.join("aws");
    fs::write(&path, script)?;
    Ok(fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?)
}

/// How the user called this program.
fn stepwell() -> String {
    match env::var_os("CARGO") {
        Some(_) => "cargo run --release --bin stepwell --".to_owned(),
        None => quoted(&env::args().next().unwrap_or_else(|| "stepwell".to_owned())),
    }
}
