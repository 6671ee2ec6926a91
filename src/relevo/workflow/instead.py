"""What to write instead of actions that run on GitHub only: those that projects in Python, JavaScript, Go, Rust and with Docker
use most. Each hint says the command that does the same in a `run:` step, or that the action is not needed here."""

from __future__ import annotations

from typing import Final

_PAGES: Final = (
    "publish the folder with a command of your host in a `run:` step, or keep it with actions/upload-artifact"
)
_CHANGED: Final = (
    "list the files in a `run:` step: git diff --name-only BASE HEAD (checkout with fetch-depth: 0)"
)


def _installed(program: str, how: str) -> str:
    return f"use the {program} that is installed on the agent, or install it in a `run:` step: {how}"


#: Action, or owner and repository of several, in lower case → hint.
INSTEAD: Final[dict[str, str]] = {
    # --- set-up
    "actions/setup-dotnet": _installed("dotnet", "dotnet-install.sh"),
    "ruby/setup-ruby": _installed("ruby", "rbenv install; then bundle install"),
    "astral-sh/setup-uv": _installed("uv", "pip install uv"),
    "snok/install-poetry": _installed("poetry", "pip install poetry"),
    "pnpm/action-setup": _installed("pnpm", "corepack enable pnpm, or npm install -g pnpm"),
    "oven-sh/setup-bun": _installed("bun", "npm install -g bun"),
    "denoland/setup-deno": _installed("deno", "npm install -g deno"),
    "dtolnay/rust-toolchain": "install the toolchain in a `run:` step: rustup toolchain install stable --profile minimal",
    "actions-rs/toolchain": "install the toolchain in a `run:` step: rustup toolchain install stable --profile minimal",
    "actions-rs/cargo": "call `cargo` in a `run:` step",
    "actions-rust-lang/setup-rust-toolchain": "install the toolchain in a `run:` step: rustup toolchain install stable",
    "swatinem/rust-cache": "leave it out: ~/.cargo stays on a self-hosted agent; set CARGO_TARGET_DIR to keep what was built",
    "taiki-e/install-action": "install the tool in a `run:` step: cargo install --locked TOOL",
    "gradle/actions": "call `./gradlew` in a `run:` step; ~/.gradle stays on a self-hosted agent",
    "hashicorp/setup-terraform": _installed("terraform", "the archive of releases.hashicorp.com"),
    "azure/setup-kubectl": _installed("kubectl", "the binary of dl.k8s.io"),
    "azure/setup-helm": _installed("helm", "the archive of get.helm.sh"),
    "sigstore/cosign-installer": _installed("cosign", "go install github.com/sigstore/cosign/v2/cmd/cosign@latest"),
    # --- checks
    "pre-commit/action": "call it in a `run:` step: pip install pre-commit && pre-commit run --all-files",
    "psf/black": "call it in a `run:` step: pip install black && black --check .",
    "astral-sh/ruff-action": "call it in a `run:` step: pip install ruff && ruff check .",
    "golangci/golangci-lint-action": "call `golangci-lint run` in a `run:` step",
    "embarkstudios/cargo-deny-action": "call it in a `run:` step: cargo install --locked cargo-deny && cargo deny check",
    "rustsec/audit-check": "call it in a `run:` step: cargo install --locked cargo-audit && cargo audit",
    "hadolint/hadolint-action": "call it in a `run:` step: docker run --rm -i hadolint/hadolint < Dockerfile",
    "aquasecurity/trivy-action": "call it in a `run:` step: docker run --rm aquasec/trivy image IMAGE",
    "crate-ci/typos": "call it in a `run:` step: pip install typos && typos",
    "super-linter/super-linter": "call the linters that your files need, each in a `run:` step",
    "github/codeql-action": "its results go to GitHub: leave it there, or call `codeql` in a `run:` step",
    "actions/dependency-review-action": "its results come from GitHub: leave it there",
    "codecov/codecov-action": "call the uploader in a `run:` step: pip install codecov-cli && codecovcli upload-process",
    "coverallsapp/github-action": "call the uploader in a `run:` step: pip install coveralls && coveralls",
    # --- builds and releases
    "docker/build-push-action": "call it in a `run:` step: docker buildx build --push --tag NAME .",
    "docker/login-action": 'call it in a `run:` step: echo "$TOKEN" | docker login --username NAME --password-stdin',
    "docker/setup-buildx-action": "leave it out if the agent's docker has buildx, else: docker buildx create --use",
    "docker/setup-qemu-action": "call it in a `run:` step: docker run --privileged --rm tonistiigi/binfmt --install all",
    "docker/metadata-action": "make the tags in a `run:` step: echo \"tags=NAME:$GITHUB_REF_NAME\" >> $GITHUB_OUTPUT",
    "docker/bake-action": "call it in a `run:` step: docker buildx bake",
    "pypa/cibuildwheel": "call it in a `run:` step: pip install cibuildwheel && cibuildwheel",
    "pyo3/maturin-action": "call it in a `run:` step: pip install maturin && maturin build --release",
    "pypa/gh-action-pypi-publish": "call it in a `run:` step: pip install twine && twine upload dist/*, with TWINE_PASSWORD as a secret",
    "goreleaser/goreleaser-action": "call it in a `run:` step: goreleaser release --clean",
    "softprops/action-gh-release": "call it in a `run:` step: gh release create $GITHUB_REF_NAME FILES, with GH_TOKEN as a secret",
    "actions/create-release": "call it in a `run:` step: gh release create $GITHUB_REF_NAME, with GH_TOKEN as a secret",
    "ncipollo/release-action": "call it in a `run:` step: gh release create $GITHUB_REF_NAME FILES, with GH_TOKEN as a secret",
    "peter-evans/create-pull-request": "call it in a `run:` step: git push, then gh pr create --fill, with GH_TOKEN as a secret",
    "peaceiris/actions-gh-pages": "push the folder in a `run:` step: git worktree add ../pages gh-pages, copy, commit, git push",
    "jamesives/github-pages-deploy-action": "push the folder in a `run:` step: git worktree add ../pages gh-pages, copy, commit, git push",
    "actions/configure-pages": _PAGES,
    "actions/upload-pages-artifact": _PAGES,
    "actions/deploy-pages": _PAGES,
    # --- the rest
    "actions/github-script": "write the script as a `run:` step: `node` for what computes, `gh api` or curl for what asks GitHub",
    "dorny/paths-filter": _CHANGED,
    "tj-actions/changed-files": _CHANGED,
    "actions/labeler": "it works on GitHub's pull requests: leave it there",
    "actions/stale": "it works on GitHub's issues: leave it there",
    "aws-actions/configure-aws-credentials": "give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY as secrets by `env:`",
    "aws-actions/amazon-ecr-login": "call it in a `run:` step: aws ecr get-login-password | docker login --username AWS --password-stdin REGISTRY",
    "google-github-actions/auth": "write the key from a secret to a file in $RUNNER_TEMP and name it in GOOGLE_APPLICATION_CREDENTIALS",
    "azure/login": "call it in a `run:` step: az login --service-principal, with its password as a secret",
    "appleboy/ssh-action": "call it in a `run:` step: ssh HOST COMMAND, with the key from a secret",
    "slackapi/slack-github-action": "call it in a `run:` step: curl --json '{\"text\": \"…\"}' \"$SLACK_WEBHOOK_URL\"",
}  # fmt: skip


def instead_of(action: str) -> str | None:
    """What to do instead of an action (in lower case, without its version), None where nothing better is known than a script."""
    return INSTEAD.get(action) or INSTEAD.get("/".join(action.split("/")[:2]))
