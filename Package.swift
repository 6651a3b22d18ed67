// swift-tools-version: 6.2
import PackageDescription

// The target graph of docs/ARCHITECTURE.md. Imports point down; Tests/HouseTests holds it.

let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("ExistentialAny"),
    .treatAllWarnings(as: .error),
]

/// A library target and, beside it, its test target.
func library(
    _ name: String,
    _ dependencies: [Target.Dependency],
    testedWith more: [Target.Dependency] = [],
    fixtures: [String] = []
) -> [Target] {
    [
        .target(name: name, dependencies: dependencies, swiftSettings: settings),
        .testTarget(
            name: name + "Tests",
            dependencies: [.byName(name: name)] + dependencies + more,
            // Files the tests read in place (by #filePath), not resources.
            exclude: fixtures,
            swiftSettings: settings
        ),
    ]
}

let mail: Target.Dependency = "EkidenMail"
let runtime: Target.Dependency = "EkidenRuntime"
let smtp: Target.Dependency = "EkidenSMTP"
let crypto: Target.Dependency = "EkidenCrypto"
let simulator: Target.Dependency = "EkidenSimulator"
let kit: Target.Dependency = "TestKit"

let stages: [Target.Dependency] = [
    "EkidenIngress", "EkidenRewriting", "EkidenSpool", "EkidenScheduler", "EkidenResolver",
    "EkidenDelivery", "EkidenOutcome", "EkidenConfiguration",
]

var targets: [Target] = [
    .target(name: "CEkiden"),
    .systemLibrary(
        name: "COpenSSL",
        pkgConfig: "openssl",
        providers: [.apt(["libssl-dev", "pkg-config"])]
    ),
    .systemLibrary(name: "CResolv"),
]

// Foundations
targets += library("EkidenMail", [])
targets += library("EkidenRuntime", [mail], testedWith: [simulator])
targets += library("EkidenCrypto", [mail, "CEkiden", "COpenSSL"], testedWith: [kit])
targets += library("EkidenMIME", [mail, crypto], testedWith: [kit])
targets += library("EkidenSMTP", [mail, crypto], testedWith: [kit], fixtures: ["Dialogues"])

// Stages: none imports another
targets += library(
    "EkidenConfiguration",
    [mail, runtime],
    testedWith: [kit],
    fixtures: ["Fixtures"]
)
targets += library("EkidenRewriting", [mail])
targets += library("EkidenIngress", [mail, runtime, crypto, smtp], testedWith: [simulator])
targets += library("EkidenSpool", [mail, runtime, crypto], testedWith: [simulator])
targets += library("EkidenScheduler", [mail, runtime])
targets += library("EkidenResolver", [mail, runtime, "CResolv"], testedWith: [simulator, kit])
targets += library(
    "EkidenDelivery",
    [mail, runtime, smtp, "EkidenMIME"],
    testedWith: [simulator]
)
targets += library("EkidenOutcome", [mail, "EkidenMIME"])

// Composition and wire
targets += library("EkidenControl", [mail, crypto])
targets += library(
    "EkidenRelay",
    [mail, runtime, smtp, "EkidenControl"] + stages,
    testedWith: [simulator]
)

// Worlds
targets += library("EkidenLinux", [mail, runtime, "CEkiden", "COpenSSL", "CResolv"])
targets += library(
    "EkidenSimulator",
    [
        mail, runtime, smtp, "EkidenConfiguration", "EkidenCrypto", "EkidenSpool",
        "EkidenResolver", "EkidenControl", "EkidenRelay",
    ],
    fixtures: ["Trial/known-seeds.txt"]
)

// Executables
targets += [
    .executableTarget(
        name: "ekiden",
        dependencies: [
            mail, runtime, crypto, smtp, "EkidenConfiguration", "EkidenIngress", "EkidenSpool",
            "EkidenControl", "EkidenRelay", "EkidenLinux",
        ],
        swiftSettings: settings
    ),
    .executableTarget(
        name: "ekiden-sim",
        dependencies: [mail, runtime, simulator],
        swiftSettings: settings
    ),
]

// What several test targets share.
targets.append(
    .target(
        name: "TestKit",
        dependencies: [mail, crypto, smtp],
        path: "Tests/TestKit",
        swiftSettings: settings
    )
)

// Parsers and what strangers send them: a test of their corpora, or (deploy/fuzz) a fuzzer's target.
let fuzzed: [Target.Dependency] = [
    mail, runtime, smtp, kit, "EkidenConfiguration", "EkidenControl", "EkidenIngress",
    "EkidenLinux", "EkidenMIME", "EkidenResolver", "EkidenRewriting", "EkidenSpool",
]
targets.append(
    Context.environment["EKIDEN_FUZZ"] == nil
        ? .testTarget(
            name: "EkidenFuzzTests",
            dependencies: fuzzed,
            exclude: ["Corpus", "Fuzzer"],
            swiftSettings: settings
        )
        : .executableTarget(
            name: "ekiden-fuzz",
            dependencies: fuzzed,
            path: "Tests/EkidenFuzzTests",
            sources: ["Targets", "Fuzzer"],
            swiftSettings: settings
        )
)

targets.append(.testTarget(name: "HouseTests", swiftSettings: settings))
targets.append(
    .testTarget(
        name: "StoryTests",
        dependencies: ["ekiden", "ekiden-sim"],
        swiftSettings: settings
    )
)

// One contract for the disk, held against both worlds.
targets.append(
    .testTarget(
        name: "DiskContractTests",
        dependencies: [mail, runtime, "EkidenLinux", simulator],
        swiftSettings: settings
    )
)

// The command line is tested from inside, for its texts, and from outside, for its exit statuses.
targets += [
    .testTarget(
        name: "CommandLineTests",
        dependencies: ["ekiden", "EkidenControl", mail],
        swiftSettings: settings
    )
]

let package = Package(name: "ekiden", targets: targets)
