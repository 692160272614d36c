/* The hashes of many facts in one call: their leaves, and the nodes over them (proofs.py defines both).

   Python and hashlib need more time to begin and end a hash than the hash takes. setup.py builds this where it
   can; leaves.py and merkle.py do the same in Python. It uses the SHA256_* functions of OpenSSL, whose
   context is plain memory: a copy of a hash that has begun can be continued. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#define OPENSSL_SUPPRESS_DEPRECATED
#include <Python.h>
#include <openssl/sha.h>
#include <string.h>

#define HASH_BYTES SHA256_DIGEST_LENGTH
#define SEQ_CHARS_MAX 24

/* Hash how the JSON of a fact's [seq, subject] begins: `[12,`. */
static int hash_seq(SHA256_CTX *hash, PyObject *seq)
{
    char text[SEQ_CHARS_MAX];
    char *start = text + sizeof text;
    unsigned long long left = PyLong_AsUnsignedLongLong(seq);

    if (left == (unsigned long long)-1 && PyErr_Occurred())
        return -1;
    *--start = ',';
    do
        *--start = (char)('0' + left % 10);
    while (left /= 10);
    *--start = '[';
    SHA256_Update(hash, start, (size_t)(text + sizeof text - start));
    return 0;
}

/* Hash a bytes object that `owned` may be: NULL is an exception. */
static int hash_bytes(SHA256_CTX *hash, PyObject *owned)
{
    char *data;
    Py_ssize_t size;
    int failed = owned == NULL || PyBytes_AsStringAndSize(owned, &data, &size);

    if (!failed)
        SHA256_Update(hash, data, (size_t)size);
    Py_XDECREF(owned);
    return failed ? -1 : 0;
}

/* Hash how it ends: `"task-7"]`. Where a character must be escaped, `dumps` makes the JSON of the subject. */
static int hash_subject(SHA256_CTX *hash, PyObject *subject, PyObject *dumps)
{
    Py_ssize_t size;
    const char *text = PyUnicode_AsUTF8AndSize(subject, &size);

    if (text == NULL)
        return -1;
    for (Py_ssize_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == '"' || text[i] == '\\') {
            if (hash_bytes(hash, PyObject_CallFunctionObjArgs(dumps, subject, NULL)))
                return -1;
            SHA256_Update(hash, "]", 1);
            return 0;
        }
    }
    SHA256_Update(hash, "\"", 1);
    SHA256_Update(hash, text, (size_t)size);
    SHA256_Update(hash, "\"]", 2);
    return 0;
}

/* Write the leaf of a row (seq, kind, subject, content, ...) whose hash has begun with what its order says. */
static int add_leaf(SHA256_CTX hash, PyObject *row, PyObject *kinds, PyObject *dumps, unsigned char *leaf)
{
    PyObject *seq = PyTuple_GetItem(row, 0), *kind = PyTuple_GetItem(row, 1);
    PyObject *subject = PyTuple_GetItem(row, 2), *content = PyTuple_GetItem(row, 3), *header;
    unsigned char digest[HASH_BYTES];
    SHA256_CTX inner;

    if (content == NULL || hash_seq(&hash, seq) || hash_subject(&hash, subject, dumps))
        return -1;
    header = PyDict_GetItemWithError(kinds, kind);
    if (header == NULL) {
        if (!PyErr_Occurred())
            PyErr_SetObject(PyExc_KeyError, kind);
        return -1;
    }
    if (hash_bytes(&hash, Py_NewRef(header)))
        return -1;
    if (!PyByteArray_Check(content)) {
        PyErr_SetString(PyExc_TypeError, "the content of a row must be a bytearray");
        return -1;
    }
    SHA256_Init(&inner);
    SHA256_Update(&inner, PyByteArray_AsString(content), (size_t)PyByteArray_Size(content));
    SHA256_Final(digest, &inner);
    SHA256_Update(&hash, digest, HASH_BYTES);
    SHA256_Final(leaf, &hash);
    return 0;
}

PyDoc_STRVAR(leaves_doc,
"leaves(rows, orders, kinds, dumps)\n--\n\n"
"Return the leaves of rows (seq, kind, subject, content, ...), 32 bytes each.\n\n"
"`orders` has for each order what its leaves begin with, and the place behind its last row; `kinds` has the\n"
"header of each kind, and `dumps` makes JSON.");

static PyObject *leaves(PyObject *module, PyObject *args)
{
    PyObject *rows, *orders, *kinds, *dumps, *found;
    unsigned char *leaf;
    Py_ssize_t place = 0;
    (void)module;

    if (!PyArg_ParseTuple(args, "O!O!O!O", &PyList_Type, &rows, &PyList_Type, &orders, &PyDict_Type, &kinds,
                          &dumps))
        return NULL;
    found = PyBytes_FromStringAndSize(NULL, PyList_Size(rows) * HASH_BYTES);
    if (found == NULL)
        return NULL;
    leaf = (unsigned char *)PyBytes_AsString(found);
    for (Py_ssize_t order = 0; order < PyList_Size(orders); order++) {
        const char *begin;
        Py_ssize_t size, end;
        SHA256_CTX begun;

        if (!PyArg_ParseTuple(PyList_GetItem(orders, order), "y#n", &begin, &size, &end))
            goto failed;
        SHA256_Init(&begun);
        SHA256_Update(&begun, begin, (size_t)size);
        for (; place < end; place++, leaf += HASH_BYTES) {
            PyObject *row = PyList_GetItem(rows, place);

            if (row == NULL || add_leaf(begun, row, kinds, dumps, leaf))
                goto failed;
        }
    }
    if (place == PyList_Size(rows))
        return found;
    PyErr_SetString(PyExc_ValueError, "a row belongs to no order");
failed:
    Py_DECREF(found);
    return NULL;
}

PyDoc_STRVAR(nodes_doc,
"nodes(row)\n--\n\n"
"Return all nodes over a row of 2**n nodes, 32 bytes each: the level above it first, the root last.");

static PyObject *nodes(PyObject *module, PyObject *given)
{
    unsigned char pair[1 + 2 * HASH_BYTES] = {1};
    const unsigned char *row;
    unsigned char *node;
    Py_ssize_t size;
    PyObject *found;
    (void)module;

    if (PyBytes_AsStringAndSize(given, (char **)&row, &size))
        return NULL;
    if (size < HASH_BYTES || size % HASH_BYTES || (size & (size - 1))) {
        PyErr_SetString(PyExc_ValueError, "a row must have 2**n nodes");
        return NULL;
    }
    found = PyBytes_FromStringAndSize(NULL, size - HASH_BYTES);
    if (found == NULL)
        return NULL;
    node = (unsigned char *)PyBytes_AsString(found);
    for (; size > HASH_BYTES; size /= 2) {
        const unsigned char *above = node;

        for (Py_ssize_t left = 0; left < size; left += 2 * HASH_BYTES, node += HASH_BYTES) {
            SHA256_CTX hash;

            memcpy(pair + 1, row + left, 2 * HASH_BYTES);
            SHA256_Init(&hash);
            SHA256_Update(&hash, pair, sizeof pair);
            SHA256_Final(node, &hash);
        }
        row = above;
    }
    return found;
}

static PyMethodDef methods[] = {
    {"leaves", leaves, METH_VARARGS, leaves_doc},
    {"nodes", nodes, METH_O, nodes_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_hashing", "The hashes of many facts in one call.", -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__hashing(void)
{
    return PyModule_Create(&definition);
}
