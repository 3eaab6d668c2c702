//! What is made from the definition of the command line: completion scripts that know the saved devices, and
//! manual pages.

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::Failure;
use crate::saved::Devices;
use crate::terminal::{out, out_raw};

/// `peersox completions SHELL`.
pub(crate) fn completions(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "peersox", &mut script);
    out_raw(&with_devices(shell, &String::from_utf8(script)?))
}

/// Lets a script ask for the names of saved devices wherever an option takes one.
fn with_devices(shell: Shell, script: &str) -> String {
    let names = "peersox devices --names 2>/dev/null";
    match shell {
        Shell::Bash => {
            // Each option that takes a value has its own case, which completes names of files.
            let mut with = String::new();
            let mut of_device = false;
            for line in script.lines() {
                let option = line.trim();
                if let Some(case) = option.strip_suffix(')').filter(|it| it.starts_with('-')) {
                    of_device = OPTIONS.iter().any(|it| case.strip_prefix("--") == Some(it));
                }
                match of_device && option.starts_with("COMPREPLY=($(compgen -f") {
                    true => with.push_str(&format!(
                        "                    COMPREPLY=($(compgen -W \"$({names})\" -- \"${{cur}}\"))"
                    )),
                    false => with.push_str(line),
                }
                with.push('\n');
            }
            with
        }
        Shell::Zsh => {
            let lines = script.split_inclusive('\n').map(|line| {
                let of_device = OPTIONS.iter().any(|it| line.contains(&format!("--{it}=[")));
                match of_device {
                    true => line.replace(":NAME:_default", &format!(":NAME:($({names}))")),
                    false => line.to_owned(),
                }
            });
            lines.collect()
        }
        Shell::Fish => {
            let lines = OPTIONS.map(|option| {
                let seen = "not __fish_is_first_token";
                format!("complete -c peersox -n \"{seen}\" -l {option} -x -a \"({names})\"\n")
            });
            format!("{script}{}", lines.concat())
        }
        _ => script.to_owned(),
    }
}

/// `peersox devices --names`: what completion scripts read.
pub(crate) fn names() -> anyhow::Result<()> {
    for name in Devices::of_this_user()?.names()? {
        out(&name.to_string())?;
    }
    Ok(())
}

/// `peersox man [COMMAND]`: a manual page in roff.
pub(crate) fn page(command: Option<&str>) -> anyhow::Result<()> {
    let mut cli = Cli::command();
    cli.build();
    let page = match command {
        None => cli,
        Some(name) => {
            let found = cli.find_subcommand(name).cloned();
            let found =
                found.ok_or_else(|| Failure::Usage(format!("there is no command {name}")))?;
            found.display_name(format!("peersox-{name}"))
        }
    };
    let mut roff = Vec::new();
    clap_mangen::Man::new(page)
        .render(&mut roff)
        .context("cannot write a manual page")?;
    out_raw(&String::from_utf8(roff)?)
}

/// Options whose value is the name of a saved device.
const OPTIONS: [&str; 3] = ["to", "from", "with"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_ask_for_the_saved_devices() {
        for (shell, expected) in [(Shell::Bash, 5), (Shell::Zsh, 5), (Shell::Fish, 3)] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "peersox", &mut script);
            let script = with_devices(shell, &String::from_utf8(script).unwrap());
            let found = script.matches("peersox devices --names").count();
            assert!(found >= expected, "{shell}: {found}\n{script}");
        }
    }
}
