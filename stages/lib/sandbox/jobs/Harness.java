import java.io.File;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;

/** Runs the main of each copy of the tests: takes the run's secret first, reports each assertion. */
public class Harness {
    private static final OutputStream OUT = new FileOutputStream(FileDescriptor.out);
    private static final boolean[][] SEEN = new boolean[2][1 << 16];
    private static String secret;

    public static void main(String[] arguments) throws Throwable {
        secret = new String(System.in.readNBytes(32), StandardCharsets.US_ASCII);
        System.in.close();
        URL[] program = {new File("p.jar").toURI().toURL()};
        for (int copy = 0; copy < Integer.parseInt(arguments[1]); copy++) {
            ClassLoader loader = new URLClassLoader(program, Harness.class.getClassLoader());
            try {
                Method tests = loader.loadClass(arguments[0] + copy).getDeclaredMethod("main", String[].class);
                tests.setAccessible(true);
                tests.invoke(null, (Object) new String[0]);
            } catch (InvocationTargetException error) {
                error.getCause().printStackTrace();
                Runtime.getRuntime().halt(1);
            }
            System.out.flush();
            write(secret + "done" + copy);
            SEEN[0] = new boolean[1 << 16];
            SEEN[1] = new boolean[1 << 16];
        }
        Runtime.getRuntime().halt(0);
    }

    /** What an assertion of the tests says; true, so that the tests go on. */
    public static synchronized boolean report(int number, boolean held) {
        boolean[] seen = SEEN[held ? 1 : 0];
        if (!seen[number]) {
            seen[number] = true;
            write(secret + Integer.toHexString(number + (1 << 16)).substring(1) + (held ? 1 : 0));
        }
        return true;
    }

    private static void write(String line) {
        try {
            OUT.write(line.getBytes(StandardCharsets.US_ASCII));
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
