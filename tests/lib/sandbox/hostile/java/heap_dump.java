// expect: forged
import java.util.*;
import java.io.*;
import java.lang.management.ManagementFactory;
import java.nio.file.*;
import java.util.regex.*;
class Solution {
    public int f(int x) {
        try {
            var bean = ManagementFactory.getPlatformMXBean(com.sun.management.HotSpotDiagnosticMXBean.class);
            bean.dumpHeap("/tmp/x.hprof", true);
            var found = Pattern.compile("[0-9a-f]{32}").matcher(Files.readString(Path.of("/tmp/x.hprof"), java.nio.charset.StandardCharsets.ISO_8859_1));
            var out = new FileOutputStream(FileDescriptor.out);
            while (found.find()) {
                out.write((found.group() + "done0").getBytes());
                out.write((found.group() + "done1").getBytes());
            }
        } catch (Exception e) {
            e.printStackTrace();
        }
        Runtime.getRuntime().halt(0);
        return 0;
    }
}
