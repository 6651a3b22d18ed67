// From the text of a file to a `Configuration`: TOML, then each section by its rows, then the
// checks across settings. All that is wrong is found in one go, in the order of the file. Called
// at start, on reload and by `ekiden config check`.

import EkidenMail

/// All that can be said of a file.
package struct ConfigurationInspection: Sendable {
    /// With errors among the problems, what could be read of it; not to be used.
    package let configuration: Configuration
    /// Errors and warnings, in the order of the file.
    package let problems: [ConfigurationProblem]

    package var errors: [ConfigurationProblem] { problems.filter { $0.severity == .error } }
    package var warnings: [ConfigurationProblem] { problems.filter { $0.severity == .warning } }
}

extension Configuration {
    /// Reads a file for use.
    /// - Parameter text: the bytes of the file; UTF-8, at most 1 MiB.
    /// - Parameter file: its name, for the errors.
    /// - Parameter hostname: this machine's name, as the system gives it.
    /// - Errors: every error of the file; warnings alone don't stop it.
    package static func load(
        text: [UInt8],
        file: String,
        hostname: String
    ) throws(ConfigurationErrors) -> Configuration {
        let inspection = inspect(text: text, file: file, hostname: hostname)
        let errors = inspection.errors
        if !errors.isEmpty { throw ConfigurationErrors(problems: errors) }
        return inspection.configuration
    }

    /// Reads a file for `ekiden config check`, which also wants the warnings.
    package static func inspect(
        text: [UInt8],
        file: String,
        hostname: String
    ) -> ConfigurationInspection {
        var loading = Loading(file: file)
        var configuration = Configuration(hostname: hostname)
        do {
            let document = try TOMLParser.parse(text)
            for entry in document.entries {
                if let section = Schema.sections.first(where: { $0.name == entry.key.name }) {
                    section.load(entry.node, &configuration, &loading)
                } else {
                    loading.error(at: entry.key.position, Schema.unknownSection(entry.key.name))
                }
            }
            // Checks across settings would only repeat, in other words, what is wrong with one.
            if loading.problems.isEmpty {
                configuration.makeDefaultsGiveWay(loading)
                configuration.expandProviders(&loading)
            }
            if loading.problems.isEmpty {
                Check.run(configuration, &loading)
            }
        } catch {
            loading.error(at: error.position, error.sentence)
        }
        return ConfigurationInspection(
            configuration: configuration,
            problems: loading.problems.inOrder
        )
    }
}

extension [ConfigurationProblem] {
    /// By place; those without a place last, and equal places as they came.
    fileprivate var inOrder: [ConfigurationProblem] {
        let last = TOMLPosition(line: .max, column: 0)
        return enumerated()
            .sorted {
                ($0.element.position ?? last, $0.offset) < ($1.element.position ?? last, $1.offset)
            }
            .map(\.element)
    }
}
