# Shared by deploy/run, deploy/test and deploy/bench; sourced, not run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else die "need root to run: $*"
    fi
}

# need_packages NAME...: installs those Debian packages that are missing.
need_packages() {
    local missing=()
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' \
            || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return 0
    command -v apt-get >/dev/null || die "please install: ${missing[*]}"
    say "installing ${missing[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        "${missing[@]}" >/dev/null 2>&1 && return 0
    as_root apt-get update >/dev/null || die "apt-get update failed"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        "${missing[@]}" >/dev/null || die "could not install: ${missing[*]}"
}

need_swift() {
    command -v swift >/dev/null || die "swift is not on PATH; install Swift 6.2 or newer (https://swift.org/install)"
}

# build_release: builds the one binary; sets $ekiden to its path.
build_release() {
    need_swift
    need_packages libssl-dev pkg-config libc6-dev
    local log="$root/.build/deploy-build.log"
    mkdir -p "$root/.build"
    say "building (release; the first time takes a few minutes)"
    if ! swift build --package-path "$root" -c release --product ekiden \
            --static-swift-stdlib >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        die "the build failed; the whole log is in $log"
    fi
    ekiden=$(swift build --package-path "$root" -c release --static-swift-stdlib --show-bin-path)/ekiden
}
