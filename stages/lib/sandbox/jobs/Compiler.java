import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.StringWriter;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import javax.tools.FileObject;
import javax.tools.ForwardingJavaFileManager;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileManager;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.StandardJavaFileManager;
import javax.tools.ToolProvider;

/**
 * A compiler that stays: reads a length and a source file from standard input, answers with a flag, a length and
 * either a jar or the compiler's messages. It runs nothing of what it compiles.
 */
public class Compiler {
    public static void main(String[] arguments) throws IOException {
        JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
        StandardJavaFileManager standard = compiler.getStandardFileManager(null, null, StandardCharsets.UTF_8);
        DataInputStream in = new DataInputStream(System.in);
        DataOutputStream out = new DataOutputStream(System.out);
        while (true) {
            byte[] source = in.readNBytes(in.readInt());
            Memory memory = new Memory(standard);
            StringWriter messages = new StringWriter();
            boolean built;
            try {
                built = compiler.getTask(messages, memory, null, List.of("-proc:none", "-nowarn", "-g:none", "-Xmaxerrs", "3"),
                        null, List.of(new Source(source))).call();
            } catch (RuntimeException | StackOverflowError error) {
                built = false;
                messages.write(error.toString());
            }
            byte[] answer = built ? memory.jar() : messages.toString().getBytes(StandardCharsets.UTF_8);
            out.writeByte(built ? 1 : 0);
            out.writeInt(answer.length);
            out.write(answer);
            out.flush();
        }
    }

    static class Source extends SimpleJavaFileObject {
        final String text;

        Source(byte[] bytes) {
            super(URI.create("string:///Main.java"), Kind.SOURCE);
            text = new String(bytes, StandardCharsets.UTF_8);
        }

        @Override
        public CharSequence getCharContent(boolean ignoreEncodingErrors) {
            return text;
        }
    }

    static class Output extends SimpleJavaFileObject {
        final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

        Output(String name) {
            super(URI.create("memory:///" + name.replace('.', '/') + ".class"), Kind.CLASS);
        }

        @Override
        public ByteArrayOutputStream openOutputStream() {
            return bytes;
        }
    }

    static class Memory extends ForwardingJavaFileManager<JavaFileManager> {
        final Map<String, Output> outputs = new LinkedHashMap<>();

        Memory(JavaFileManager files) {
            super(files);
        }

        @Override
        public JavaFileObject getJavaFileForOutput(Location where, String name, JavaFileObject.Kind kind, FileObject sibling) {
            return outputs.computeIfAbsent(name, Output::new);
        }

        byte[] jar() throws IOException {
            ByteArrayOutputStream jar = new ByteArrayOutputStream();
            try (ZipOutputStream zip = new ZipOutputStream(jar)) {
                zip.setMethod(ZipOutputStream.STORED);
                for (Map.Entry<String, Output> one : outputs.entrySet()) {
                    byte[] bytes = one.getValue().bytes.toByteArray();
                    ZipEntry entry = new ZipEntry(one.getKey().replace('.', '/') + ".class");
                    CRC32 sum = new CRC32();
                    sum.update(bytes);
                    entry.setSize(bytes.length);
                    entry.setCrc(sum.getValue());
                    zip.putNextEntry(entry);
                    zip.write(bytes);
                }
            }
            return jar.toByteArray();
        }
    }
}
