// The simulated world as its own program: the same seed is the same world in every process and in
// every build.

import Foundation
import Testing

/// The `ekiden-sim` of this build, and the release build's where there is one.
private func builds() -> [String] {
    let own = (Stage.binary as NSString).deletingLastPathComponent
    let release = (own as NSString).deletingLastPathComponent + "/release"
    return [own, release].map { $0 + "/ekiden-sim" }.filter { access($0, X_OK) == 0 }
}

/// The last line: "seed 3: good, 179 messages accepted, … trace 9385db99d3d654ec".
private func verdict(_ program: String, _ seed: Int) throws -> (status: Int32, text: String) {
    let run = try Child.run(program, ["--seed", String(seed)], within: 120)
    let line = run.text.split(separator: "\n").last.map { String($0) } ?? ""
    return (run.status, line)
}

@Test(arguments: [3, 8]) func `one seed is one world, in every process and build`(
    seed: Int
) throws {
    let programs = builds()
    let first = try #require(programs.first)
    let expected = try verdict(first, seed)
    #expect(expected.status == 0 && expected.text.hasPrefix("seed \(seed): good"), "\(expected)")
    #expect(expected.text.contains(" trace "))
    for program in [first] + programs.dropFirst() {
        #expect(try verdict(program, seed) == expected, "\(program)")
    }
}

@Test func `what is no seed is refused with a hint`() throws {
    let program = try #require(builds().first)
    for arguments in [["--seed", "x"], ["--seeds", "5..1"], ["--sed", "1"], ["--seed"], []] {
        let run = try Child.run(program, arguments)
        #expect(run.status == 2 && run.text.contains("Usage:"), "\(arguments): \(run.text)")
    }
    let help = try Child.run(program, ["--help"])
    #expect(help.status == 0 && help.text.contains("--shrink"))
}
