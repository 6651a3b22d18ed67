// The power fails under a real relay: what its disk had not been told to flush may be gone, sector
// by sector and name by name, and still nothing that was acknowledged is. The tool that does it is
// Tests/Tools/power_cut.py; by hand it runs for longer.

import Foundation
import Testing

private let tool = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "../../Tools/power_cut.py").standardizedFileURL.path

private let isPossible = Child.find("python3") != nil && Child.find("cc") != nil

@Test(.enabled(if: isPossible))
func `a power cut loses nothing that was acknowledged`() async throws {
    try await story(starts: false) { stage in
        let run = try Child.run(
            "python3",
            [tool, "--binary", Stage.binary, "--cuts", "10", "--looks", "1"],
            within: 120
        )
        #expect(run.status == 0, "\(run.text)")
        #expect(run.text.contains("10 cuts"), "\(run.text)")
        #expect(run.text.contains("0 recipients lost"), "\(run.text)")
    }
}

@Test(.enabled(if: isPossible), arguments: ["files", "names"])
func `a disk whose flushes do nothing is found out`(_ lie: String) async throws {
    try await story(starts: false) { stage in
        let run = try Child.run(
            "python3",
            [
                tool, "--binary", Stage.binary, "--cuts", "10", "--lie", lie,
                "--directory", stage.directory + "/cuts",
            ],
            within: 120
        )
        #expect(run.status == 1, "\(run.text)")
        #expect(run.text.contains("the lie was found out"), "\(run.text)")
    }
}
